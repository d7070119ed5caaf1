/**
 * One load on one front, measured: wrk as fast as answers come, or WebSocket messages. What fails is an answer here, so
 * that the others are measured all the same.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpuMs, untilQuiet, watchCpu } from '../machine.mjs';
import { wrk } from '../wrk.mjs';
import { LOAD_CPU, scriptPath } from './ground.mjs';

const WARM_UP_SECONDS = 1;
const QUIET_WAIT_MS = 5_000;
/** On a machine that stays busy the runs are taken as they come. */
const PATIENCE_MS = 30_000;
/** A run in which others used more of a core than this is repeated. */
export const MOST_FOREIGN = 0.1;
const TRIES = 2;
const CLIENT_GRACE_MS = 30_000;

/** `share`: of the seconds of a round; they come in runs of `piece` seconds, since the machine changes between them. */
export const KEPT = { name: 'keep-alive', connections: 64, share: 1, piece: 2 };
export const NEW = { name: 'new connections', connections: 64, close: true, share: 1, piece: 2 };
export const BIG = { name: '1 MiB bodies', connections: 16, path: '/big', share: 0.75, piece: 1 };
export const ECHO = {
  ...{ name: 'WebSocket echo', connections: 64, client: 'echo.mjs' },
  ...{ share: 0.5, piece: 2 },
};
export const LOADS = [KEPT, NEW, BIG, ECHO];

/**
 * Each of `runs` ({load, front, place}) in each round, those of one load after one another, so that a round's can be
 * paired. `ground.backends`: pids of containers, which move to the core that a front says.
 */
export async function measureRuns(
  ground,
  runs,
  { rounds, seconds, say, warmUp = true, patience = patient() },
) {
  const measured = [];
  if (warmUp)
    for (const run of firstOfEach(runs)) await tried(() => measureOnce(ground, run, WARM_UP_SECONDS));
  for (let round = 0; round < rounds; round++) {
    if (rounds > 1) say(`round ${round + 1} of ${rounds}`);
    for (const { run, piece } of inOrder(runs, seconds)) {
      const { load, front, place } = run;
      const result = await tried(() => settled(ground, run, Math.min(load.piece, seconds), patience));
      if (result.failure !== undefined) say(`${front.name}, ${load.name}: ${result.failure}`);
      measured.push({ round: `${round}.${piece}`, load: load.name, front: front.name, place, ...result });
    }
  }
  return measured;
}

/** For all waits and repetitions of a section together. */
export function patient() {
  return { ms: PATIENCE_MS };
}

/** One load is enough for each front to be warm. */
function firstOfEach(runs) {
  return runs.filter((run, at) => runs.findIndex(({ front }) => front === run.front) === at);
}

/** Each load as often as it has pieces, each time with the fronts the other way round. */
function inOrder(runs, seconds) {
  const isSame = (a, b) => a.load === b.load && a.place === b.place;
  const firsts = runs.filter((run, at) => runs.findIndex((other) => isSame(run, other)) === at);
  return firsts.flatMap((first) => {
    const group = runs.filter((run) => isSame(run, first));
    const { share, piece: length } = first.load;
    const pieces = Math.max(1, Math.round((seconds * share) / length));
    return Array.from({ length: pieces }, (_, piece) =>
      (piece % 2 === 0 ? group : [...group].reverse()).map((run) => ({ run, piece })),
    ).flat();
  });
}

/** What went wrong, in one line. */
function tried(measure) {
  return measure().catch(({ message }) => ({ failure: message.trim().split('\n').slice(0, 2).join(' ') }));
}

/** Repeats a run that others disturbed, when they have become quiet; the least disturbed one counts. */
async function settled(ground, run, seconds, patience) {
  let best;
  for (let tries = 0; tries < TRIES; tries++) {
    const result = await measureOnce(ground, run, seconds);
    if (best === undefined || result.foreign < best.foreign) best = result;
    if (best.foreign <= MOST_FOREIGN || patience.ms <= 0) break;
    const began = performance.now();
    await untilQuiet(pids(ground, run.front), Math.min(QUIET_WAIT_MS, patience.ms));
    patience.ms -= performance.now() - began + seconds * 1_000;
  }
  return best;
}

async function measureOnce(ground, { load, front, place }, seconds) {
  if (!front.isAlive()) throw new Error('it has ended');
  for (const pid of ground.backends) ground.move(pid, front.backendCpu ?? LOAD_CPU);
  ground.forget();
  const wereNear = await ground.cores?.areNear();
  const stop = watchCpu(pids(ground, front));
  const before = cpuOf(front);
  const measured = await send(ground, { load, front, place }, seconds);
  const used = cpuOf(front) - before;
  const { foreign } = stop();
  // Our own client warms up in the run, and counts apart what it sent in all.
  const proxy = front.hasProcess ? { cpuUs: (used * 1_000) / (measured.sent ?? measured.requests) } : {};
  return { foreign, cores: wordsOf(wereNear, await ground.cores?.areNear()), ...measured, ...proxy };
}

/** Where the two cores were, as far as its beginning and its end tell; undefined when nothing is pinned. */
function wordsOf(before, after) {
  if (before === undefined) return undefined;
  if (before !== after) return 'moved';
  return before ? 'near' : 'far';
}

/** Of all its processes, in ms. */
function cpuOf({ hasProcess, pid, workers = [] }) {
  return hasProcess ? [pid, ...workers].reduce((sum, one) => sum + cpuMs(one), 0) : 0;
}

function send(ground, { load, front, place }, seconds) {
  const { connections, close, path = '/', client } = load;
  const host = front.hostFor(place);
  const prefix = ground.at(place);
  if (client === undefined) {
    const url = `http://${host}:${front.port}${path}`;
    return wrk({ url, connections, close, seconds, pin: prefix });
  }
  const words = [host, front.echoPort, connections, seconds].map(String);
  return ask([...prefix, process.execPath, scriptPath(client), ...words], seconds);
}

/** Runs one of our clients, which prints JSON. */
export async function ask([file, ...args], seconds) {
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
  return [...backends, ...(front.hasProcess ? [front.pid, ...(front.workers ?? [])] : [])];
}
