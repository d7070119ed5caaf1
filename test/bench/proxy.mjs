/**
 * Part `proxy`: requests through our proxy, through HAProxy and straight to the backend, interleaved round by
 * round. Runs inside a network namespace of its own (run.mjs makes it), so that its settings go with it.
 * `node proxy.mjs OUT.json ROUNDS SECONDS`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { movePinned, startBackend, startGantryd, startHaproxy, URLS } from './fronts.mjs';
import { cpuMs, untilQuiet, watchCpu } from './machine.mjs';
import { hasTaskset, prepareNetwork } from './network.mjs';
import { wrk } from './wrk.mjs';

const LOAD_CPU = 0;
const PROXY_CPU = 1;
const WARM_UP_SECONDS = 1;
const QUIET_WAIT_MS = 10_000;
/** For all waits and repetitions together: on a machine that stays busy the runs are taken as they come. */
const PATIENCE_MS = 300_000;
/** A run in which others used more of a core than this is repeated. */
const MOST_FOREIGN = 0.1;
const TRIES = 3;

const DIRECT = { name: 'direct', url: URLS.backend, backendCpu: PROXY_CPU };
const SHARED = { name: 'direct, backend on the core of the load', url: URLS.backend };
const PAUSED = { ...DIRECT, name: 'direct, both proxies stopped', pause: true };
const HTTP = [
  { name: 'haproxy', url: URLS.haproxyHttp, process: 'haproxy' },
  { name: 'gantryd', url: URLS.gantrydHttp, process: 'gantryd' },
];
const TCP = [
  { name: 'haproxy', url: URLS.haproxyTcp, process: 'haproxy' },
  { name: 'gantryd', url: URLS.gantrydTcp, process: 'gantryd' },
];

const WORKLOADS = [
  { name: 'http, keep-alive', fronts: [DIRECT, PAUSED, SHARED, ...HTTP], connections: 64 },
  { name: 'http, new connections', fronts: [DIRECT, ...HTTP], connections: 64, close: true },
  { name: 'http, 1 MiB bodies', fronts: [DIRECT, ...HTTP], connections: 16, path: '/big' },
  { name: 'http, one client', fronts: [DIRECT, ...HTTP], connections: 1 },
  { name: 'tcp, keep-alive', fronts: [DIRECT, ...TCP], connections: 64 },
  { name: 'tcp, new connections', fronts: [DIRECT, ...TCP], connections: 64, close: true },
  { name: 'tcp, 1 MiB bodies', fronts: [DIRECT, ...TCP], connections: 16, path: '/big' },
];

const [out, rounds, seconds] = process.argv.slice(2);
const opened = [];
let ending;
let patienceMs = PATIENCE_MS;
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => void finish().then(() => process.exit(1)));
try {
  const result = await measure(Number(rounds), Number(seconds));
  await writeFile(out, JSON.stringify(result));
} finally {
  await finish();
}

async function measure(rounds, seconds) {
  const pinned = availableParallelism() > 1 && hasTaskset();
  const notes = [...prepareNetwork()];
  if (!pinned) notes.push('one core only, or no taskset: nothing is pinned, the processes compete for cores');
  const ground = await open(pinned);
  for (const run of all()) await once(ground, run, WARM_UP_SECONDS);
  const runs = [];
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`bench: proxy, round ${round + 1} of ${rounds}\n`);
    for (const run of all()) runs.push({ round, ...(await settled(ground, run, seconds)) });
  }
  return { rounds, seconds, pinned, notes, runs };
}

/** Workload by workload, and in each the fronts right after one another, so that a round's runs can be paired. */
function all() {
  return WORKLOADS.flatMap((workload) => workload.fronts.map((front) => ({ workload, front })));
}

async function open(pinned) {
  const folder = await mkdtemp(join(tmpdir(), 'gb-'));
  opened.push({ close: () => rm(folder, { recursive: true, force: true, maxRetries: 5 }) });
  const pin = (cpu) => (pinned ? ['taskset', '-c', `${cpu}`] : []);
  if (pinned) movePinned(process.pid, LOAD_CPU);
  const backend = keep(await startBackend(folder, pin(LOAD_CPU)));
  const haproxy = keep(await startHaproxy(folder, pin(PROXY_CPU)));
  const gantryd = keep(await startGantryd(folder, pinned ? PROXY_CPU : undefined));
  return { pinned, pin: pin(LOAD_CPU), backend, haproxy, gantryd };
}

function keep(running) {
  opened.push(running);
  return running;
}

/** Once, whoever asks first; nobody leaves before it is done. */
function finish() {
  ending ??= closeAll();
  return ending;
}

async function closeAll() {
  for (const running of opened.reverse()) await running.close();
}

/** Repeats a run that others disturbed; the least disturbed one counts. */
async function settled(ground, run, seconds) {
  let best;
  const began = performance.now();
  for (let tries = 0; tries < TRIES; tries++) {
    if (patienceMs > 0) await untilQuiet(pids(ground), Math.min(QUIET_WAIT_MS, patienceMs));
    const result = await once(ground, run, seconds);
    if (best === undefined || result.foreign < best.foreign) best = result;
    if (best.foreign <= MOST_FOREIGN || patienceMs <= 0) break;
  }
  patienceMs -= Math.max(0, performance.now() - began - seconds * 1000);
  return best;
}

async function once(ground, { workload, front }, seconds) {
  const { connections, close = false, path = '/' } = workload;
  const paused = front.pause === true ? [ground.haproxy.pid, ground.gantryd.pid] : [];
  if (ground.pinned) movePinned(ground.backend.pid, front.backendCpu ?? LOAD_CPU);
  for (const pid of paused) process.kill(pid, 'SIGSTOP');
  try {
    const stop = watchCpu(pids(ground));
    const before = usage(ground, front);
    const measured = await wrk({ url: `${front.url}${path}`, connections, close, seconds, pin: ground.pin });
    const after = usage(ground, front);
    const { foreign, wallMs } = stop();
    const perRequest = ((after - before) * 1000) / measured.requests;
    const proxy =
      front.process === undefined ? {} : { cpuUs: perRequest, cpuShare: (after - before) / wallMs };
    return { workload: workload.name, front: front.name, foreign, ...measured, ...proxy };
  } finally {
    for (const pid of paused) process.kill(pid, 'SIGCONT');
  }
}

function usage(ground, front) {
  return front.process === undefined ? 0 : cpuMs(ground[front.process].pid);
}

function pids({ backend, haproxy, gantryd }) {
  return [backend.pid, haproxy.pid, gantryd.pid];
}
