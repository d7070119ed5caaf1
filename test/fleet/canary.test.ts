/** A release with a canary through a fleet in one process: one host tries it out, for all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../ground/harness.ts';
import { presentEverywhere, startFleet, type TestFleet } from './fleet-ground.ts';

const HOSTS = ['a', 'b', 'c'];
const PLAIN = {
  instances: 2,
  update: { order: 'start-first', maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 60_000 },
} as const;
const TRIED = {
  ...PLAIN,
  update: { ...PLAIN.update, canary: { percent: 10, durationMs: 500, maxErrorRate: 0.01 } },
} as const;

/** Hosts that told of such an event. */
function tellers(fleet: TestFleet, kind: string): readonly string[] {
  return fleet.hosts.filter((h) => h.events.some((e) => e.kind === kind)).map((h) => h.name);
}

test('the first host tries it out, and the others take it as it is', async (t) => {
  const fleet = await startFleet(t, { hosts: HOSTS, images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  await fleet.update(1, TRIED);
  assert.equal((await fleet.ended()).state, 'done');
  assert.deepEqual(tellers(fleet, 'canary-started'), [], 'nothing served before it');
  await fleet.update(2, TRIED, 1);
  const tried = () => tellers(fleet, 'canary-started')[0];
  await until(() => tried() !== undefined, { timeoutMs: 10_000, what: 'the canary to begin' });
  const first = fleet.host(tried() ?? '');
  const told = () => fleet.statuses().find((s) => s.host === first.name);
  await until(() => told()?.phase === 'watching', { timeoutMs: 10_000, what: 'the host to tell of it' });
  assert.match(told()?.why ?? '', /^release 2 is tried out until /);
  assert.deepEqual(first.serving().toSorted(), [1, 1, 2]);
  assert.equal((await fleet.ended()).state, 'done');
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [2, 2], host.name);
  assert.deepEqual(tellers(fleet, 'canary-started'), [first.name]);
  assert.deepEqual(tellers(fleet, 'canary-promoted'), [first.name]);
});

test('a bad one is taken back for all, and no other host has started it', async (t) => {
  const fleet = await startFleet(t, { hosts: HOSTS, images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  const others = { requests: 700, errors: 0, latency: [700] };
  for (const { proxy } of fleet.hosts)
    proxy.answers = { canary: { requests: 80, errors: 12, latency: [80] }, others };
  await fleet.update(1, TRIED);
  await fleet.ended();
  await fleet.update(2, TRIED, 1);
  await until(() => fleet.rollout()?.kind === 'rollback', { timeoutMs: 10_000, what: 'the rollback' });
  const rollout = await fleet.ended();
  assert.deepEqual([rollout.state, rollout.release], ['done', 1]);
  assert.equal(rollout.failure?.why, '12 of 80 requests failed (15 %), release 1: 0 of 1400');
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [1, 1], host.name);
  const started = (host: (typeof fleet.hosts)[number]) =>
    host.events.filter((e) => e.kind === 'container-created' && e.release === 2).length;
  assert.deepEqual(fleet.hosts.map(started).toSorted(), [0, 0, 1]);
});
