/** Rollouts through a fleet in one process: real agents, with engines, proxies and a coordinator in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDLE, type Program } from '../docker/fake-engine.ts';
import { until } from '../ground/harness.ts';
import { presentEverywhere, startFleet, type TestHost } from './fleet-ground.ts';

const HOSTS = ['a', 'b', 'c'];
const QUICK = {
  update: { order: 'start-first', maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 60_000 },
} as const;

/** Ready when a command in the container says so. */
const CHECKED = {
  ...QUICK,
  readyTimeoutMs: 600,
  readyChecks: [
    { kind: 'exec', id: 'ready', command: ['ready'], intervalMs: 50, timeoutMs: 500, fall: 3, rise: 1 },
  ],
} as const;

test('an update goes through all hosts, and never do two have their turn', async (t) => {
  const fleet = await startFleet(t, { hosts: HOSTS, images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  assert.equal((await fleet.ended()).state, 'done');
  await fleet.update(2, QUICK, 1);
  assert.equal((await fleet.ended()).state, 'done');
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [2], host.name);
});

test('a release that does not become ready is taken back everywhere, and what served serves on', async (t) => {
  const fleet = await startFleet(t, { hosts: HOSTS, images: ['app:1', 'app:2'], programs: badIf('app:2') });
  await presentEverywhere(fleet);
  await fleet.update(1, CHECKED);
  await fleet.ended();
  await fleet.update(2, CHECKED, 1);
  await until(() => fleet.rollout()?.kind === 'rollback', { timeoutMs: 10_000, what: 'the rollback' });
  const rollout = await fleet.ended();
  assert.deepEqual(
    [rollout.state, rollout.release, rollout.from, rollout.failure?.release],
    ['done', 1, 2, 2],
  );
  assert.match(rollout.failure?.why ?? '', /was not ready within 600 ms/);
  assert.deepEqual(rollout.failure?.logs, ['no database']);
  assert.deepEqual(fleet.desired()?.release, 1);
  for (const host of fleet.hosts) {
    assert.deepEqual(host.serving(), [1], host.name);
    await until(async () => (await host.engine.containers({})).length === 1, {
      timeoutMs: 5000,
      what: `the failed container on ${host.name} to go`,
    });
  }
});

test('with pause it stops there, and resume tries again', async (t) => {
  let bad = true;
  const programs = (image: string): Program => ({
    ...IDLE,
    exec: () => ({ exitCode: image === 'app:2' && bad ? 1 : 0, output: '' }),
  });
  const fleet = await startFleet(t, { hosts: HOSTS, images: ['app:1', 'app:2'], programs });
  await presentEverywhere(fleet);
  const paused = { ...CHECKED, update: { ...CHECKED.update, onFailure: 'pause' } } as const;
  await fleet.update(1, paused);
  await fleet.ended();
  await fleet.update(2, paused, 1);
  const rollout = await fleet.ended();
  assert.equal(rollout.state, 'paused');
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [1], host.name);
  bad = false;
  await fleet.put(fleet.keys.rollout('web'), { ...rollout, state: 'running', attempt: 2 });
  assert.equal((await fleet.ended()).state, 'done');
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [2], host.name);
});

test('a release that fails after the switch, while it is watched, is taken back to the warm containers', async (t) => {
  const fleet = await startFleet(t, { hosts: HOSTS, images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  const [warm] = await fleet.host('a').engine.containers({});
  await fleet.update(2, { ...QUICK, update: { ...QUICK.update, monitorMs: 60_000 } }, 1);
  await until(() => fleet.hosts.some((h) => h.serving()[0] === 2), { timeoutMs: 5000, what: 'a switch' });
  const first = fleet.hosts.find((h) => h.serving()[0] === 2);
  assert.ok(first);
  const bad = (await first.engine.containers({})).find((c) => c.release === 2);
  first.engine.die(bad?.id ?? '', { exitCode: 3 });
  await until(() => fleet.rollout()?.kind === 'rollback', { timeoutMs: 5000, what: 'the rollback' });
  assert.equal((await fleet.ended()).state, 'done');
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [1], host.name);
  const still = await fleet.host('a').engine.containers({});
  assert.ok(still.some((c) => c.id === warm?.id && c.state === 'running'));
});

test('stop during a rollout ends it, on every host', async (t) => {
  const fleet = await startFleet(t, { hosts: HOSTS, images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  await fleet.update(2, { ...QUICK, update: { ...QUICK.update, monitorMs: 60_000 } }, 1);
  await until(() => fleet.hosts.some((h) => h.serving()[0] === 2), { timeoutMs: 5000, what: 'a switch' });
  await fleet.want('web', { status: 'stopped', release: 2, generation: 3 });
  const gone = async (h: TestHost) => (await h.engine.containers({})).length === 0;
  for (const host of fleet.hosts) {
    await until(() => gone(host), { timeoutMs: 5000, what: `nothing to be left on ${host.name}` });
  }
  await until(() => fleet.queue().length === 0, { timeoutMs: 5000, what: 'the queue to be empty' });
  const settled = () => fleet.statuses().every((s) => s.phase === 'stopped' && s.settled === 3);
  await until(settled, { timeoutMs: 5000, what: 'every host to say so' });
});

/** Containers of this image are never ready. */
function badIf(bad: string) {
  return (image: string): Program => ({
    ...IDLE,
    prints: image === bad ? ['no database'] : [],
    exec: () => ({ exitCode: image === bad ? 1 : 0, output: '' }),
  });
}
