/**
 * One load on one front, measured: wrk as fast as answers come, requests at a fixed rate, or WebSocket messages. What
 * fails is an answer here, so that the others are measured all the same.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpuMs, untilQuiet, watchCpu } from '../machine.mjs';
import { wrk } from '../wrk.mjs';
import { LOAD_CPU, scriptPath } from './ground.mjs';

const WARM_UP_SECONDS = 1;
const QUIET_WAIT_MS = 5_000;
/** For all waits and repetitions of a section together: on a machine that stays busy the runs are taken as they come. */
export const PATIENCE_MS = 30_000;
/** A run in which others used more of a core than this is repeated. */
export const MOST_FOREIGN = 0.1;
const TRIES = 2;
const CLIENT_GRACE_MS = 30_000;
export const RATE = 5_000;

export const KEPT = { name: 'keep-alive', connections: 64 };
export const NEW = { name: 'new connections', connections: 64, close: true };
export const BIG = { name: '1 MiB bodies', connections: 16, path: '/big', short: true };
export const ECHO = { name: 'WebSocket echo', connections: 64, client: 'echo.mjs', short: true };
export const FIXED = {
  ...{ name: `${RATE} requests/s`, connections: 64 },
  ...{ client: 'rate.mjs', args: [`${RATE}`] },
};
export const LOADS = [KEPT, NEW, BIG, ECHO, FIXED];

/**
 * Each of `runs` ({load, front, place}) in each round, after one another as they stand there, so that a round's can be
 * paired. `ground.backends`: pids of containers, which move to the core that a front says.
 */
export async function measureRuns(ground, runs, { rounds, seconds, say, patience = { ms: PATIENCE_MS } }) {
  const measured = [];
  for (const run of warmUps(runs)) await tried(() => measureOnce(ground, run, WARM_UP_SECONDS));
  for (let round = 0; round < rounds; round++) {
    if (rounds > 1) say(`round ${round + 1} of ${rounds}`);
    for (const run of runs) {
      const { load, front, place } = run;
      const took = load.short ? Math.max(1, Math.ceil(seconds / 2)) : seconds;
      const result = await tried(() => settled(ground, run, took, patience));
      if (result.failure !== undefined) say(`${front.name}, ${load.name}: ${result.failure}`);
      measured.push({ round, load: load.name, front: front.name, place, ...result });
    }
  }
  return measured;
}

/** One load is enough for each front. */
function warmUps(runs) {
  return runs.filter((run, at) => runs.findIndex(({ front }) => front === run.front) === at);
}

/** What went wrong, in one line. */
function tried(measure) {
  return measure().catch(({ message }) => ({ failure: message.trim().split('\n').slice(0, 2).join(' ') }));
}

/** Repeats a run that others disturbed; the least disturbed one counts. */
async function settled(ground, run, seconds, patience) {
  let best;
  const began = performance.now();
  for (let tries = 0; tries < TRIES; tries++) {
    if (patience.ms > 0) await untilQuiet(pids(ground, run.front), Math.min(QUIET_WAIT_MS, patience.ms));
    const result = await measureOnce(ground, run, seconds);
    if (best === undefined || result.foreign < best.foreign) best = result;
    if (best.foreign <= MOST_FOREIGN || patience.ms <= 0) break;
  }
  patience.ms -= Math.max(0, performance.now() - began - seconds * 1_000 - 500);
  return best;
}

async function measureOnce(ground, { load, front, place }, seconds) {
  if (!front.isAlive()) throw new Error('it has ended');
  for (const pid of ground.backends) ground.move(pid, front.backendCpu ?? LOAD_CPU);
  ground.forget();
  const stop = watchCpu(pids(ground, front));
  const before = front.hasProcess ? cpuMs(front.pid) : 0;
  const measured = await send(ground, { load, front, place }, seconds);
  const used = front.hasProcess ? cpuMs(front.pid) - before : undefined;
  const { foreign } = stop();
  // Our own clients warm up in the run and do not count what they send then.
  const isCounted = used !== undefined && load.client === undefined;
  const proxy = isCounted ? { cpuUs: (used * 1_000) / measured.requests } : {};
  return { foreign, ...measured, ...proxy };
}

function send(ground, { load, front, place }, seconds) {
  const { connections, close, path = '/', client, args = [] } = load;
  const host = front.hostFor(place);
  const prefix = ground.at(place);
  if (client === undefined) {
    const url = `http://${host}:${front.port}${path}`;
    return wrk({ url, connections, close, seconds, pin: prefix });
  }
  const port = load === ECHO ? front.echoPort : front.port;
  const words = [host, port, connections, ...args, seconds].map(String);
  return ask([...prefix, process.execPath, scriptPath(client), ...words], seconds);
}

/** Runs one of our clients, which prints JSON. */
async function ask([file, ...args], seconds) {
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: seconds * 1_000 + CLIENT_GRACE_MS,
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'])
    child[name].setEncoding('utf8').on('data', (text) => {
      said[name] += text;
    });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the client ended with ${code ?? child.signalCode}: ${said.stderr}`);
  return JSON.parse(said.stdout);
}

function pids({ backends }, front) {
  return [...backends, ...(front.hasProcess ? [front.pid] : [])];
}
