/**
 * Section `switches`: the place of a kernel port is led to and fro between two containers while new connections come,
 * from this host and from another machine, and each that fails is counted. Through the proxy as an agent does it, by the
 * driver alone, and by a kept nft with nothing around it. Load and containers have one core, the proxy, the driver and
 * this process the other.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openKernelPlane } from '../../../dist/src/proxy/kernel/open.js';
import { openByHand } from './by-hand.mjs';
import { backendOf, routeOf, startGantryd } from './fronts.mjs';
import { HOST, openGround, PROXY_CPU, WEB_PORT } from './ground.mjs';
import { OURS } from './names.mjs';

const PORT = 8300;
const DRIVER_PORT = 8301;
const BY_HAND_PORT = 8302;
const LANES = 32;
const SLICE_SECONDS = 5;
/** A machine so slow that it takes longer is told with what it made. */
const MAX_SLICES = 40;
const PAUSE_MS = 50;
const ASK_MS = 5_000;
/** Of this network, closed ones included: a put of the proxy reads them all. */
const TRACKED = '/proc/sys/net/netfilter/nf_conntrack_count';
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

export async function measureSwitches(ends, { switches, connections, say }) {
  const ground = await openGround(ends);
  ground.move(process.pid, PROXY_CPU);
  ends.after(() => void priority('--other', '0'));
  const containers = [await ground.container('one'), await ground.container('two')];
  const gantryd = await startGantryd(ground, ends);
  const through = {
    port: PORT,
    turn: (to) => gantryd.put([routeOf(OURS.kernel, { port: PORT }, [backendOf(to)])]),
  };
  const proxy = await underLoad(ground, through, containers, { switches, connections, say });
  const alone = await driverAlone(ground, ends, containers, { switches, connections: 0, say });
  return { notes: ground.notes, wanted: { switches, connections }, proxy, ...alone };
}

/** As any process, and once more without the times in which this one waits for a core to hear that it is done. */
async function driverAlone(ground, ends, containers, options) {
  const events = { targetDead: () => {}, targetGone: () => {}, restored: () => {} };
  const plane = openKernelPlane({ stateDir: join(ground.folder, 'driver'), events, log: SILENT });
  ends.after(async () => {
    await plane.purge();
    await plane.close();
  });
  const turn = async ({ name, host, pid }) => {
    const target = { id: name, host, port: WEB_PORT, weight: 1, pid };
    const entry = { protocol: 'tcp', address: '0.0.0.0', port: DRIVER_PORT, targets: [target] };
    const began = performance.now();
    await plane.apply([entry]);
    return performance.now() - began;
  };
  const driver = await underLoad(ground, { port: DRIVER_PORT, turn }, containers, options);
  if (!priority('--reset-on-fork', '--fifo', '1'))
    ground.notes.push('this process could not be put ahead of others: the driver ahead waits for a core too');
  const ahead = await underLoad(ground, { port: DRIVER_PORT, turn }, containers, options);
  const hand = openByHand(ends, BY_HAND_PORT);
  const byHand = await underLoad(ground, { port: BY_HAND_PORT, turn: hand }, containers, options);
  return { driver, ahead, byHand };
}

/** Of this process, by chrt(1); answers whether it took it. What it starts has the usual one. */
function priority(...words) {
  const value = words.pop();
  return spawnSync('chrt', [...words, '--pid', value, `${process.pid}`], { stdio: 'ignore' }).status === 0;
}

/** Until there were so many switches and so many connections. The first one makes the place, and is none. */
async function underLoad(ground, { port, turn }, containers, { switches, connections, say }) {
  ground.forget();
  await turn(containers[0]);
  const state = { times: [], stale: 0, asked: 0, loads: [] };
  for (let slice = 0; slice < MAX_SLICES; slice++) {
    const slices = [load(ground, 'remote', HOST, port), load(ground, 'loopback', '127.0.0.1', port)];
    const over = new AbortController();
    const switching = switchAbout(state, { port, turn, containers }, over.signal);
    const counted = await Promise.all(slices).finally(() => over.abort());
    await switching;
    state.loads.push(...counted);
    if (slice === 0) say(`${sum(counted, 'requests')} connections in ${SLICE_SECONDS} s`);
    if (state.times.length >= switches && sum(state.loads, 'requests') >= connections) break;
  }
  const { times, stale, asked, loads } = state;
  const tracked = Number(readFileSync(TRACKED, 'utf8'));
  return { times, stale, asked, tracked, connections: sum(loads, 'requests'), failed: sum(loads, 'failed') };
}

/** After each switch a new connection must meet the container that is switched to. */
async function switchAbout(state, { port, turn, containers }, signal) {
  while (!signal.aborted) {
    const to = containers[(state.times.length + 1) % containers.length];
    state.times.push(await turn(to));
    state.asked += 1;
    if ((await who(port)) !== to.name) state.stale += 1;
    await sleep(PAUSE_MS, undefined, { signal }).catch(() => {}); // aborted: it is over
  }
}

/** Who answers a new connection; what went wrong when nobody does. */
function who(port) {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(ASK_MS);
    const asked = request({ host: '127.0.0.1', port, path: '/who', agent: false, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      answer.once('end', () => resolve(text.trim())).once('error', ({ message }) => resolve(message));
    });
    asked.once('error', ({ message }) => resolve(message)).end();
  });
}

/** wrk that does not fail with what fails, but counts it. */
async function load(ground, place, host, port) {
  const args = ['-t1', `-c${LANES}`, `-d${SLICE_SECONDS}s`, '--timeout', '10s', '-H', 'Connection: close'];
  const [file, ...rest] = [...ground.at(place), 'wrk', ...args, `http://${host}:${port}/who`];
  const child = spawn(file, rest, {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: SLICE_SECONDS * 1_000 + 30_000,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  const [code] = await once(child, 'close');
  const [, requests] = text.match(/(\d+) requests in /) ?? [];
  if (code !== 0 || requests === undefined) throw new Error(`wrk ended with ${code}: ${text}`);
  const errors = text.match(/Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/) ?? [];
  const [, notOk = 0] = text.match(/Non-2xx or 3xx responses: (\d+)/) ?? [];
  const failed = errors.slice(1).reduce((total, count) => total + Number(count), Number(notOk));
  return { requests: Number(requests), failed };
}

function sum(all, field) {
  return all.reduce((total, one) => total + one[field], 0);
}
