/** An agent as a whole, as it begins and as it ends: real agents around engines, proxies and etcd in memory. */
import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { steadyNow } from '../../src/clock.ts';
import { keys } from '../../src/cluster/keys.ts';
import { readHost } from '../../src/cluster/values.ts';
import { GantryError } from '../../src/errors.ts';
import { type HostInput, SESSION_TTL_MS } from '../../src/fleet/host.ts';
import { QUIET_MS } from '../../src/fleet/leased.ts';
import { IDLE } from '../docker/fake-engine.ts';
import { until } from '../ground/harness.ts';
import { presentEverywhere, startFleet } from './fleet-ground.ts';

const QUICK = {
  update: { order: 'start-first', maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 60_000 },
} as const;

test('an agent that takes along what runs takes it, and the next one brings it back', async (t) => {
  const slow = () => ({ ...IDLE, term: { afterMs: 300, exitCode: 143 } });
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'], programs: slow, stopOnExit: true });
  const { engine, ...a } = fleet.host('a');
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  engine.calls.length = 0;
  await a.stop();
  assert.deepEqual(a.serving(), []);
  assert.deepEqual(await engine.containers({}), []);
  const begun = engine.calls.filter((c) => c.startsWith('create') || c.startsWith('start'));
  assert.deepEqual(begun, [], 'nothing comes up on the way');
  assert.deepEqual(fleet.statuses(), [], 'its keys are gone');
  a.start();
  await until(() => a.serving()[0] === 1, { timeoutMs: 5000, what: 'release 1 to be back' });
});

test('a copy of a machine is refused while the agent of the other one lives; who was started again goes on', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'] });
  const a = fleet.host('a');
  await presentEverywhere(fleet);
  await a.stop();
  const key = keys().host('shop', 'a');
  const there = readHost(await fleet.operator.get(key));
  assert.ok(there !== undefined);
  await fleet.put(key, { ...there, boot: 'one' });

  let running = 0;
  const begin = (more: Partial<HostInput>) => a.start({ onRunning: () => running++, ...more });
  let aheadMs = 0;
  begin({ boot: 'two', now: () => steadyNow() + aheadMs });
  const get = a.store.get.bind(a.store);
  let looks = 0;
  a.store.get = (wanted, ...more) => {
    if (wanted === key) looks++;
    return get(wanted, ...more);
  };
  await until(() => looks > 0, { timeoutMs: 5000, what: 'the key to be looked at' });
  aheadMs = SESSION_TTL_MS + 2_000;
  const [seen, what] = [looks, 'it to be looked at again and again: etcd may have a new leader'];
  await until(() => looks >= seen + 2, { timeoutMs: 5000, what });
  aheadMs = 2 * SESSION_TTL_MS + 2_000;
  await assert.rejects(a.ended(), ({ code, message, hint }: GantryError) => {
    assert.match(message, /^Another machine runs project shop under the name a \(at 127/);
    return code === 'host-taken' && /is a copy of the same one/.test(hint ?? '');
  });
  assert.equal(running, 0);

  begin({ boot: 'one' });
  await until(() => running === 1, { timeoutMs: 5000, what: 'an agent of the same start to run' });
  await a.stop();
  begin({ boot: 'three' });
  await fleet.operator.commit([], [{ kind: 'delete', key }]);
  await until(() => running === 2, { timeoutMs: 5000, what: 'the machine that was started again to run' });
});

test('who is told that an agent runs finds its host in etcd', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'] });
  const a = fleet.host('a');
  await a.stop();
  const key = keys().host('shop', 'a');
  await fleet.operator.commit([], [{ kind: 'delete', key }]);
  const there = new Promise((resolve) => {
    a.start({ onRunning: () => resolve(fleet.operator.get(key)) });
  });
  assert.ok((await there) !== undefined);
  await a.stop();
});

test('a host at rest writes nothing, and what changes all the time once in five seconds', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a', 'b'], images: ['app:1'] });
  await presentEverywhere(fleet);
  const names = Array.from({ length: 20 }, (_, i) => (i === 0 ? 'web' : `web${i}`));
  await fleet.put(fleet.keys.config, {
    ...{ format: 1, project: 'shop', by: 'me@here', at: new Date().toISOString() },
    file: { components: names.map((name) => ({ name, repo: 'app' })) },
  });
  for (const name of names) await fleet.update(1, { ...QUICK, name });
  for (const name of names) assert.equal((await fleet.ended(name)).state, 'done');
  const settled = () =>
    names.every((n) => fleet.statuses(n).every((s) => s.phase === 'serving' && s.settled === 1));
  await until(settled, { timeoutMs: 5000, what: 'all to be settled' });
  const told = fleet.hosts.map(({ store }) => {
    const commits: number[] = [];
    const commit = store.commit.bind(store);
    store.commit = (...given) => {
      commits.push(performance.now());
      return commit(...given);
    };
    return commits;
  });
  const rest = async (ms: number) => {
    for (const commits of told) commits.length = 0;
    await delay(ms);
    return told.map((commits) => commits.length);
  };
  // On a busy machine the last words of the update are told late.
  const isQuiet = async () => (await rest(QUIET_MS)).every((n) => n === 0);
  await until(isQuiet, { timeoutMs: 8 * QUIET_MS, what: 'the hosts to have told everything' });
  assert.deepEqual(await rest(QUIET_MS + 500), [0, 0]);
  const { proxy } = fleet.host('a');
  const ids = names.map(
    (name) => proxy.table('shop').routes.find((r) => r.component === name)?.backends[0]?.id,
  );
  let connections = 0;
  const busy = setInterval(() => {
    connections++;
    for (const id of ids) proxy.open.set(id ?? '', connections);
  }, 50);
  t.after(() => clearInterval(busy));
  const [a = 0, b] = await rest(QUIET_MS + 1_500);
  assert.ok(a > 0 && a <= 2, `${a} writes in ${QUIET_MS + 1_500} ms`);
  assert.equal(b, 0);
});

test('a record that cannot be read keeps no other component from being followed', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'] });
  const a = fleet.host('a');
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  await a.stop();
  const [bad, links] = [join('components', 'shop', 'bad.json'), join('links', 'shop.json')];
  const link = { port: 7001, exporter: 'db', kind: 'tcp', containerPort: 5432, addresses: ['127.0.0.1'] };
  await mkdir(join(a.stateDir, 'links'));
  await writeFile(join(a.stateDir, links), JSON.stringify({ sql: link }));
  await writeFile(join(a.stateDir, bad), '{');
  a.start();
  const isTold = () => a.events.some((e) => e.kind === 'trouble' && e.component === 'bad');
  await until(isTold, { timeoutMs: 5000, what: 'its trouble to be told' });
  await fleet.update(2, { ...QUICK, image: 'app:1' }, 1);
  assert.equal((await fleet.ended()).state, 'done');
  const kept = async () => Object.keys(JSON.parse(await readFile(join(a.stateDir, links), 'utf8')));
  assert.deepEqual(await kept(), ['sql'], 'it may be what requires the link');
  await a.stop();
  await rm(join(a.stateDir, bad));
  a.start();
  await until(async () => (await kept()).length === 0, { timeoutMs: 5000, what: 'the link to be forgotten' });
});

test('a link stays as long as a container is there whose record is lost, which may require it', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'] });
  const a = fleet.host('a');
  await presentEverywhere(fleet);
  for (const name of ['web', 'worker']) {
    await fleet.update(1, { ...QUICK, name });
    await fleet.ended(name);
  }
  await a.stop();
  const file = join(a.stateDir, 'links', 'shop.json');
  const link = { port: 7001, exporter: 'db', kind: 'tcp', containerPort: 5432, addresses: ['127.0.0.1'] };
  await mkdir(join(a.stateDir, 'links'));
  await writeFile(file, JSON.stringify({ sql: link }));
  await rm(join(a.stateDir, 'components', 'shop', 'worker.json'));
  let running = false;
  a.start({
    onRunning: () => {
      running = true;
    },
  });
  await until(() => running, { timeoutMs: 5000, what: 'the agent to run' });
  assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { sql: link });
});

test('an etcd that goes away right after its first answer does not end the agent', async (t) => {
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'] });
  const a = fleet.host('a');
  await presentEverywhere(fleet);
  await a.stop();
  a.start();
  const { store } = a;
  const get = store.get.bind(store);
  store.get = async () => {
    store.get = get;
    throw new GantryError('cluster-unreachable', 'etcd does not answer', { retryable: true });
  };
  await fleet.update(1, QUICK);
  assert.equal((await fleet.ended()).state, 'done');
});
