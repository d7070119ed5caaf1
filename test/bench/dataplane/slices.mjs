/**
 * One client that asks several fronts in turn, each for a slice of a second at a fixed rate, in another order each time
 * around; prints JSON. What slows the machine for a while meets all of them. A time around in which this process was
 * woken late, or others had the machine's cores, is left out for all fronts, whatever was measured in it.
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
/** A timer that fires so late has sent 20 requests at once, of the 1,250 of a slice. */
const MOST_LATE_MS = 4;
const MOST_FOREIGN = 0.1;
/** Where fewer are undisturbed, those are told in which this process was woken least late, and decide nothing. */
const LEAST_KEPT = 0.25;
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
const kept = undisturbed(done);
const enough = kept.every(isQuiet);
console.log(JSON.stringify({ cycles, kept: kept.length, enough, ...result(kept) }));
process.exit();

async function cycle() {
  const foreign = watchCpu([process.ppid, ...pids]);
  const stolen = watchStolen();
  const slices = {};
  for (const name of shuffled([...askers.keys()], dice)) {
    await sleep(PAUSE_MS);
    try {
      slices[name] = await askers.get(name).slice(LEAD_MS, COUNTED_MS);
    } catch ({ message }) {
      failures.set(name, message);
      askers.get(name).close();
      askers.delete(name);
    }
  }
  const lateMs = Math.max(...Object.values(slices).map((slice) => slice.lateMs));
  const { wallMs, foreign: share } = foreign();
  return { slices, lateMs, foreign: share + stolen() / wallMs };
}

/** CPU time, in ms, that this machine wanted and its host did not give. */
function watchStolen() {
  const read = () => Number(readFileSync('/proc/stat', 'utf8').split(/\s+/)[8]) * TICK_MS;
  const before = read();
  return () => read() - before;
}

function undisturbed(all) {
  const quiet = all.filter(isQuiet);
  const least = Math.ceil(all.length * LEAST_KEPT);
  return quiet.length >= least ? quiet : [...all].sort((a, b) => a.lateMs - b.lateMs).slice(0, least);
}

function isQuiet({ lateMs, foreign }) {
  return lateMs <= MOST_LATE_MS && foreign <= MOST_FOREIGN;
}

function result(some) {
  const [first] = fronts;
  const pools = new Map([...askers.keys()].map((name) => [name, new Pool(some.map(tookOf(name)))]));
  const us = (value) => drawn(some.length, dice, (times) => value(times) * 1_000);
  return {
    lateMs: Math.max(...some.map(({ lateMs }) => lateMs)),
    foreign: Math.max(...some.map(({ foreign }) => foreign)),
    fronts: fronts.map(({ name }) => {
      const [pool, base] = [pools.get(name), pools.get(first.name)];
      if (pool === undefined) return { front: name, failure: failures.get(name) };
      const inTime = some.reduce((sum, { slices }) => sum + slices[name].inTime, 0);
      return {
        front: name,
        requests: pool.count,
        perSecond: (inTime * 1_000) / (some.length * COUNTED_MS),
        p50us: us((times) => pool.quantile(0.5, times)),
        p99us: us((times) => pool.quantile(0.99, times)),
        ...(base === undefined || base === pool
          ? {}
          : { addedUs: us((times) => pool.quantile(0.99, times) - base.quantile(0.99, times)) }),
        late: done.filter(({ slices }) => slices[name].lateMs > MOST_LATE_MS).length,
      };
    }),
  };
}

function tookOf(name) {
  return ({ slices }) => slices[name].took;
}
