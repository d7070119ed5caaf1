/**
 * One client that asks several fronts in turn, each for a slice of a second at a fixed rate, in another order each time
 * around; prints JSON. A slice is compared with that of the first front of the same time around, and whether this pair
 * counts is decided by what others took of the cores and by how late this process was woken, not by what was measured.
 * `node slices.mjs '{fronts: [{name, host, port}], connections, rate, cycles, pids}'`; `pids`: whose CPU time is ours.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { diceOf } from '../../../dist/test/campaign/dice.js';
import { watchCpu } from '../machine.mjs';
import { Asker } from './asker.mjs';
import { drawn, Pool, shuffled } from './pooled.mjs';

const LEAD_MS = 50;
const COUNTED_MS = 250;
/** Between two slices, so that what the one has left to do is not met by the other. */
const PAUSE_MS = 5;
const MOST_FOREIGN = 0.1;
/** Of all times around: those that count at most, the ones in which this process was woken least late. */
const MOST_KEPT = 0.5;
/** Where fewer are left by then, those with least foreign work are told, and decide nothing. */
const LEAST_KEPT = 0.25;
/** A timer that fires so late has sent 20 requests at once, of the 1,250 of a slice. */
const LATE_MS = 4;
/** USER_HZ is 100. */
const TICK_MS = 10;
const SEED = 1;

const { fronts, connections, rate, cycles, pids } = JSON.parse(process.argv[2]);
const dice = diceOf(SEED);
const askers = new Map();
const failures = new Map();
for (const { name, host, port } of fronts) {
  const asker = new Asker({ host, port }, rate);
  await asker.open(connections).then(
    () => askers.set(name, asker),
    ({ message }) => failures.set(name, message),
  );
}
await cycle(); // for all to be warm
const done = [];
for (let i = 0; i < cycles; i++) done.push(await cycle());
console.log(JSON.stringify({ cycles, fronts: fronts.map(resultOf) }));
process.exit();

/** One slice of each front that has not failed, by its name. */
async function cycle() {
  const slices = {};
  for (const name of shuffled([...askers.keys()], dice)) {
    await sleep(PAUSE_MS);
    const stop = watchOthers();
    try {
      slices[name] = { ...(await askers.get(name).slice(LEAD_MS, COUNTED_MS)), foreign: stop() };
    } catch ({ message }) {
      failures.set(name, message);
      askers.get(name).close();
      askers.delete(name);
    }
  }
  return slices;
}

/** What other processes use of a core, and what this machine wanted of its own and its host did not give. */
function watchOthers() {
  const stop = watchCpu([process.ppid, ...pids]);
  const before = stolenMs();
  return () => {
    const { wallMs, foreign } = stop();
    return foreign + (stolenMs() - before) / wallMs;
  };
}

/** proc(5): the eighth number of the line of all cores. */
function stolenMs() {
  return Number(readFileSync('/proc/stat', 'utf8').split(/\s+/)[8]) * TICK_MS;
}

function resultOf({ name }) {
  const [{ name: base }] = fronts;
  if (failures.has(name)) return { front: name, failure: failures.get(name) };
  const { kept, enough } = keptOf(done.map((slices) => [slices[name], slices[base] ?? slices[name]]));
  const [mine, theirs] = [0, 1].map((at) => new Pool(kept.map((pair) => pair[at].took)));
  const us = (value) => drawn(kept.length, dice, (times) => value(times) * 1_000);
  const isAdded = name !== base && !failures.has(base);
  const inTime = kept.reduce((sum, [slice]) => sum + slice.inTime, 0);
  return {
    ...{ front: name, requests: mine.count, perSecond: (inTime * 1_000) / (kept.length * COUNTED_MS) },
    p50us: us((times) => mine.quantile(0.5, times)),
    p99us: us((times) => mine.quantile(0.99, times)),
    ...(isAdded ? { addedUs: us((times) => mine.quantile(0.99, times) - theirs.quantile(0.99, times)) } : {}),
    ...{ kept: kept.length, enough, lateMs: Math.max(...kept.map(lateOf)) },
    late: done.filter((slices) => slices[name].lateMs > LATE_MS).length,
  };
}

function keptOf(pairs) {
  const quiet = pairs.filter((pair) => foreignOf(pair) <= MOST_FOREIGN);
  const least = Math.ceil(pairs.length * LEAST_KEPT);
  if (quiet.length < least)
    return { enough: false, kept: [...pairs].sort((a, b) => foreignOf(a) - foreignOf(b)).slice(0, least) };
  const most = Math.ceil(pairs.length * MOST_KEPT);
  return { enough: true, kept: quiet.sort((a, b) => lateOf(a) - lateOf(b)).slice(0, most) };
}

function foreignOf(pair) {
  return Math.max(...pair.map(({ foreign }) => foreign));
}

function lateOf(pair) {
  return Math.max(...pair.map(({ lateMs }) => lateMs));
}
