/** Other numbers of the same, from the command to the containers: real agents over engines, proxies and etcd in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys as keysOf } from '../../../src/cluster/keys.ts';
import { readOutcome, readScale, readShares, type SharesValue } from '../../../src/cluster/values.ts';
import { isGantryError } from '../../../src/errors.ts';
import type { Fleet } from '../../../src/fleet/intents/look.ts';
import { type ScaleTo, scale } from '../../../src/fleet/scale/scale.ts';
import { untilScaled } from '../../../src/fleet/scale/scale-wait.ts';
import { IDLE } from '../../docker/fake-engine.ts';
import { until } from '../../ground/harness.ts';
import { presentEverywhere, startFleet, type TestFleet } from '../fleet-ground.ts';

const SOON = { timeoutMs: 15_000 };
const QUICK = {
  update: { order: 'start-first', maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 0 },
} as const;

/** Ready when a command in the container says so. */
const CHECKED = {
  ...QUICK,
  readyTimeoutMs: 400,
  readyChecks: [
    { kind: 'exec', id: 'ready', command: ['ready'], intervalMs: 50, timeoutMs: 500, fall: 3, rise: 1 },
  ],
} as const;

test('scale grows and shrinks what serves, and makes no release', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a', 'b'], images: ['app:1'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  assert.equal((await fleet.ended()).state, 'done');
  assert.equal(await waited(fleet, 3), 'done: web: 6 containers serve on 2 hosts');
  assert.deepEqual(counts(fleet), { a: 3, b: 3 });
  assert.equal(await waited(fleet, 0), 'done: web: 0 containers serve on 2 hosts');
  assert.deepEqual(counts(fleet), { a: 0, b: 0 });
  assert.equal(await waited(fleet, 'config'), 'done: web: 2 containers serve on 2 hosts');
  assert.deepEqual([fleet.desired()?.release, fleet.desired()?.generation], [1, 1]);
});

test('a host follows its number without etcd, after a restart, and no lower one', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'] });
  const [a] = fleet.hosts;
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  await waited(fleet, 3);
  await a?.stop();
  const key = fleet.keys.scale('web');
  const older = readScale(await fleet.operator.get(key));
  await fleet.put(key, { ...older, number: 0, instances: 1 });
  a?.start();
  const told = () => fleet.statuses()[0]?.size?.wanted === 3;
  await until(told, { ...SOON, what: 'the host to say that three are to be there' });
  assert.deepEqual(counts(fleet), { a: 3 });
  await waited(fleet, 2);
  assert.ok((readScale(await fleet.operator.get(key))?.number ?? 0) >= 2, 'above what the host knows');
  assert.deepEqual(counts(fleet), { a: 2 });
});

test('a total is spread, follows the hosts that come and go start-first, and holds through a rollout', async (t) => {
  const fleet = await startFleet(t, {
    hosts: ['a', 'b', 'c'],
    images: ['app:1', 'app:2'],
    stopOnExit: true,
  });
  const c = fleet.host('c');
  await presentEverywhere(fleet);
  await fleet.update(1, { ...QUICK, instances: 6, total: 6 });
  assert.equal((await fleet.ended()).state, 'done');
  await spread(fleet, { a: 2, b: 2, c: 2 });
  const before = watchSum(t, fleet);
  await c.stop();
  await spread(fleet, { a: 3, b: 3, c: 0 });
  assert.ok(before.least >= 6, `${before.least} served while one left`);
  const seen = watchSum(t, fleet);
  c.start();
  await spread(fleet, { a: 2, b: 2, c: 2 });
  assert.ok(seen.least >= 6, `${seen.least} served while one moved`);
  await fleet.update(2, { ...QUICK, instances: 6, total: 6 }, 1);
  assert.equal((await fleet.ended()).state, 'done');
  await spread(fleet, { a: 2, b: 2, c: 2 });
  assert.deepEqual(new Set(fleet.hosts.flatMap((h) => h.serving())), new Set([2]));
  assert.match(await waited(fleet, { total: 2 }), /^done: web: 2 containers serve/);
  await fleet.update(3, { ...QUICK, image: 'app:2', instances: 6, total: 6 }, 2);
  assert.equal((await fleet.ended()).state, 'done', 'a host without a container is passed over');
  assert.equal(sum(counts(fleet)), 2);
});

test('a release that is rolled out where none is to be is good from its first container on', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a', 'b'], images: ['app:1'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  await waited(fleet, 0);
  await fleet.update(2, { ...QUICK, image: 'app:1' }, 1);
  const { state, untried } = await fleet.ended();
  assert.deepEqual([state, untried], ['done', true]);
  const outcome = () => readOutcome(fleet.cluster.get(fleet.keys.outcome('web', 2)))?.result;
  assert.equal(outcome(), undefined);
  assert.equal(await waited(fleet, 1), 'done: web: 2 containers serve on 2 hosts');
  await until(() => outcome() === 'completed', { ...SOON, what: 'it to be known that release 2 serves' });
  assert.equal(fleet.rollout()?.untried, undefined);
});

test('a total that moves is known from etcd: shares, who decided, and why', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'] });
  await presentEverywhere(fleet);
  await fleet.update(1, { ...QUICK, instances: 2, total: 2 });
  await fleet.ended();
  const spread = () => sharesOf(fleet)?.next === undefined;
  await until(spread, { ...SOON, what: 'it to be known that they serve' });
  const { number, shares, host, why } = sharesOf(fleet) ?? assert.fail();
  assert.deepEqual([number, shares, host, why], [2, { a: 2 }, 'a', '2 were to be spread']);
});

test('what was asked for is in force again when the update that says another number is taken back', async (t) => {
  const fleet = await startFleet(t, {
    hosts: ['a', 'b'],
    images: ['app:1', 'app:2'],
    programs: (image) => ({ ...IDLE, exec: () => ({ exitCode: image === 'app:2' ? 1 : 0, output: '' }) }),
  });
  await presentEverywhere(fleet);
  await fleet.update(1, CHECKED);
  await fleet.ended();
  await waited(fleet, 3);
  const ended = readScale(await fleet.operator.get(fleet.keys.scale('web'))) ?? assert.fail();
  await fleet.update(2, { ...CHECKED, instances: 2 }, 1, ended);
  assert.equal((await fleet.ended()).kind, 'rollback');
  await spread(fleet, { a: 3, b: 3 });
  const { instances, number } = readScale(await fleet.operator.get(fleet.keys.scale('web'))) ?? {};
  assert.deepEqual([instances, number], [3, ended.number + 1]);
});

test('numbers that cannot be are refused, and so is what was never deployed', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'] });
  await presentEverywhere(fleet);
  await refused(fleet, { web: 2 }, 'release-unknown', /was never deployed/);
  await fleet.update(1, { ...QUICK, network: 'host' });
  await fleet.ended();
  await refused(fleet, { wbe: 2 }, 'component-unknown', /did you mean "web"/);
  await refused(fleet, { web: -1 }, 'usage', /cannot have -1 containers/);
  await refused(fleet, { web: { total: 1001 } }, 'usage', /cannot have 1001 containers/);
  await refused(fleet, { web: 2 }, 'usage', /would fight for their ports/);
});

async function refused(
  fleet: TestFleet,
  changes: Readonly<Record<string, ScaleTo>>,
  code: Parameters<typeof isGantryError>[1],
  words: RegExp,
): Promise<void> {
  await assert.rejects(
    async () => scale(operating(fleet), { project: 'shop', changes, by: 'me@here' }),
    (error: unknown) => isGantryError(error, code) && words.test(error.message),
  );
}

function operating(fleet: TestFleet): Fleet {
  return { store: fleet.operator, keys: keysOf(), now: Date.now };
}

async function waited(fleet: TestFleet, to: ScaleTo): Promise<string> {
  const targets = await scale(operating(fleet), { project: 'shop', changes: { web: to }, by: 'me@here' });
  const { signal } = new AbortController();
  const wait = { project: 'shop', targets, waitMs: SOON.timeoutMs };
  const [ending] = await untilScaled(operating(fleet), wait, signal);
  return `${ending?.outcome}: ${ending?.why}`;
}

function counts(fleet: TestFleet): Record<string, number> {
  return Object.fromEntries(fleet.hosts.map((h) => [h.name, h.serving().length]));
}

function sum(numbers: Readonly<Record<string, number>>): number {
  return Object.values(numbers).reduce((a, b) => a + b, 0);
}

async function spread(fleet: TestFleet, wanted: Readonly<Record<string, number>>): Promise<void> {
  const isSo = () => JSON.stringify(counts(fleet)) === JSON.stringify(wanted);
  await until(isSo, { ...SOON, what: `${JSON.stringify(wanted)} to serve` });
}

function watchSum(t: { after(fn: () => void): void }, fleet: TestFleet): { least: number } {
  const seen = { least: sum(counts(fleet)) };
  const look = () => {
    seen.least = Math.min(seen.least, sum(counts(fleet)));
  };
  const timer = setInterval(look, 2);
  t.after(() => clearInterval(timer));
  return seen;
}

function sharesOf(fleet: TestFleet): SharesValue | undefined {
  return readShares(fleet.cluster.get(fleet.keys.shares('web')));
}
