/** What goes wrong in a fleet in one process, one thing at a time: real agents over engines, proxies and etcd in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GantryError } from '../../src/errors.ts';
import { IDLE, type Program } from '../docker/fake-engine.ts';
import { until } from '../ground/harness.ts';
import { imageId, presentEverywhere, startFleet, type TestHost } from './fleet-ground.ts';

const QUICK = {
  update: { order: 'start-first', maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 60_000 },
} as const;
const WATCHED = { update: { ...QUICK.update, onFailure: 'pause', monitorMs: 400 } } as const;

test('a release that failed while it was watched is watched again after a resume', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a', 'b'], images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  await fleet.update(2, { ...WATCHED, update: { ...WATCHED.update, monitorMs: 60_000 } }, 1);
  const first = await until(() => fleet.hosts.find((h) => h.serving()[0] === 2), {
    ...{ timeoutMs: 5000, what: 'a switch' },
  });
  const bad = (await first.engine.containers({})).find((c) => c.release === 2);
  first.engine.die(bad?.id ?? '');
  const rollout = await fleet.ended();
  assert.equal(rollout.state, 'paused');
  const { failure: _, reason: __, ...rest } = rollout;
  await fleet.put(fleet.keys.rollout('web'), { ...rest, state: 'running', attempt: 2 });
  const watches = () => fleet.statuses().some((s) => s.host === first.name && s.phase === 'watching');
  await until(watches, { timeoutMs: 5000, what: `${first.name} to watch it again` });
  assert.equal(fleet.rollout()?.state, 'running');
});

test('a pull that nobody needs any more is given up', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1', 'app:3'] });
  const { engine } = fleet.host('a');
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  let pulling: AbortSignal | undefined;
  engine.pull = (_, { signal } = {}) =>
    new Promise((_, reject) => {
      pulling = signal;
      const interrupted = () => reject(new GantryError('interrupted', 'the pull was interrupted'));
      signal?.addEventListener('abort', interrupted, { once: true });
    });
  await fleet.update(2, QUICK, 1);
  await until(() => pulling !== undefined, { timeoutMs: 5000, what: 'a pull' });
  assert.equal(pulling?.aborted, false);
  await fleet.update(3, QUICK, 1);
  assert.equal((await fleet.ended()).state, 'done');
  assert.deepEqual(fleet.host('a').serving(), [3]);
  assert.equal(pulling?.aborted, true);
});

test('a release that is not in etcd is asked for ever less often, and what serves serves on', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'] });
  const a = fleet.host('a');
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  const atRest = () => fleet.queue().length === 0 && fleet.statuses().every((s) => s.settled === 1);
  await until(atRest, { timeoutMs: 5000, what: 'the update to have left nothing behind' });
  const asked: number[] = [];
  const get = a.store.get.bind(a.store);
  a.store.get = (key) => {
    if (key === fleet.keys.release('web', 7)) asked.push(performance.now());
    return get(key);
  };
  await fleet.want('web', { status: 'ready', release: 7, generation: 2 });
  for (let questions = 1; questions <= 4; questions++) {
    await until(() => asked.length >= questions, { timeoutMs: 20_000, what: `question ${questions}` });
    // The host is looked at whenever its engine says so, which is no reason to ask etcd.
    const looks = looksOf(a);
    a.engine.reconnect();
    await until(() => looksOf(a) > looks, { timeoutMs: 5000, what: 'a look at the host' });
  }
  const pauses = asked.slice(1).map((at, i) => at - (asked[i] ?? 0));
  // Who was just looking at something else when it became wanted asks at once a second time.
  assert.ok(
    pauses.every((ms, i) => i === 0 || ms >= 990 * 2 ** i),
    pauses.join(', '),
  );
  assert.deepEqual(a.serving(), [1]);
});

test('an etcd that was wiped changes nothing that runs, and a new intent is followed', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a', 'b'], images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  const calls = fleet.hosts.map((h) => h.engine.calls.filter((c) => /^(stop|kill|remove|create)/.test(c)));
  fleet.cluster.wipe();
  const again = () => fleet.statuses().length === 2;
  await until(again, { timeoutMs: 20_000, what: 'all to tell again how they are' });
  const after = fleet.hosts.map((h) => h.engine.calls.filter((c) => /^(stop|kill|remove|create)/.test(c)));
  assert.deepEqual(after, calls);
  assert.ok(fleet.statuses().every((s) => s.known.generation === 1 && s.serving === 1));
  await fleet.want('web', { status: 'stopped', release: 1, generation: 2 });
  const gone = () => fleet.hosts.every((h) => h.serving().length === 0);
  await until(gone, { timeoutMs: 5000, what: 'it to be stopped' });
});

test('a host that fails after another is not taken for one that paused the rollout', async (t) => {
  let bad = true;
  const programs = (image: string): Program => ({
    ...IDLE,
    exec: () => ({ exitCode: image === 'app:2' && bad ? 1 : 0, output: '' }),
  });
  const fleet = await startFleet(t, { hosts: ['a', 'b', 'c'], images: ['app:1', 'app:2'], programs });
  const checks = {
    readyTimeoutMs: 300,
    readyChecks: [
      { kind: 'exec', id: 'ready', command: ['ready'], intervalMs: 50, timeoutMs: 500, fall: 3, rise: 1 },
    ],
  } as const;
  const both = { ...checks, update: { ...WATCHED.update, maxParallel: 2, monitorMs: 0 } } as const;
  await presentEverywhere(fleet);
  await fleet.update(1, both);
  await fleet.ended();
  await fleet.update(2, both, 1);
  const rollout = await fleet.ended();
  assert.equal(rollout.state, 'paused');
  const back = () => fleet.hosts.every((h) => h.serving()[0] === 1 && h.serving().length === 1);
  await until(back, { timeoutMs: 5000, what: 'all to serve what served' });
  bad = false;
  const { failure: _, reason: __, ...rest } = rollout;
  await fleet.put(fleet.keys.rollout('web'), { ...rest, state: 'running', attempt: 2 });
  assert.equal((await fleet.ended()).state, 'done');
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [2], host.name);
});

test('a place in the queue that nobody can read is taken anew', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a', 'b'], images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  await fleet.put(fleet.keys.turn('web', 'a'), {});
  await fleet.update(2, QUICK, 1);
  assert.equal((await fleet.ended()).state, 'done');
  await until(() => fleet.queue().length === 0, { timeoutMs: 5000, what: 'the queue to be empty' });
});

test('a restored etcd gives no number out twice, and nothing is known by its number alone', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a', 'b'], images: ['app:1'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  const before = fleet.cluster.snapshot();
  // Nobody can prepare for it, and so nobody follows it.
  for (const { engine } of fleet.hosts) engine.freeBytes = 0;
  await fleet.update(2, { ...QUICK, image: 'app:missing' }, 1);
  const knows = () => fleet.statuses().every((s) => s.known.generation === 2 && s.known.release === 2);
  await until(knows, { timeoutMs: 8000, what: 'all to tell that they know of it' });
  fleet.cluster.restore(before);
  await until(knows, { timeoutMs: 20_000, what: 'all to tell it again' });
  // As somebody would who does not ask them.
  for (const { engine } of fleet.hosts) {
    engine.freeBytes = undefined;
    engine.addImage('app:2', imageId('app:2'));
  }
  await fleet.update(2, QUICK, 1);
  const { state, generation } = await fleet.ended();
  assert.deepEqual([state, generation], ['done', 2]);
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [2], host.name);
});

function looksOf({ engine }: TestHost): number {
  return engine.calls.filter((call) => call.startsWith('containers')).length;
}
