/** One look, over an engine and a proxy in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Observer } from '../../src/agent/observe.ts';
import { NOT_ASKED } from '../../src/agent/plan/state.ts';
import { type ComponentRecord, desiredOf, type Mark } from '../../src/agent/record.ts';
import type { Tell } from '../../src/events.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';
import { specOf } from '../docker/components.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { FakeProxy } from '../fleet/fake-proxy.ts';
import { until } from '../ground/harness.ts';
import { component, release } from './builders.ts';

test('a look that is under way when its observer is closed begins no checks', async () => {
  const engine = new FakeEngine();
  engine.addImage('app', 'sha256:aa');
  const check = { kind: 'exec', id: 'ready', command: ['ready'], intervalMs: 10, timeoutMs: 500 } as const;
  const made = release(7, { component: component({ readyChecks: [{ ...check, fall: 3, rise: 1 }] }) });
  const record: ComponentRecord = {
    ...{ format: 1, status: 'ready', release: 7, releases: [made], marks: {}, linkPorts: {} },
  };
  await engine.start(await engine.create(specOf()));
  const quiet = { heal: true, now: Date.now, tell: () => {}, poke: () => {} };
  const at = { project: 'shop', component: 'web', hostId: 'host-1', engine, proxy: new FakeProxy() };
  const observer = new Observer({ ...at, ...quiet });
  const memory = { doing: new Map(), startAfter: 0, failures: 0, mayAdvance: () => true };
  const look = observer.observe(desiredOf('shop', 'web', record), record, memory);
  await observer.close();
  assert.equal((await look).containers.length, 1);
  await delay(100);
  assert.deepEqual(
    engine.calls.filter((c) => c.startsWith('exec')),
    [],
  );
});

test('what the check of its image says counts once a container has served, for a loop that heals', async () => {
  const engine = new FakeEngine();
  engine.addImage('app', 'sha256:aa');
  const id = await engine.create(specOf());
  await engine.start(id);
  const made = release(7, { component: component({ readyChecks: [], healthChecks: [] }) });
  const recordWith = (mark: Mark): ComponentRecord => ({
    ...{ format: 1, status: 'ready', release: 7, releases: [made], marks: { [id]: mark }, linkPorts: {} },
  });
  const told: string[] = [];
  const tell: Tell = (fact) => {
    if (fact.kind === 'health-changed') told.push(`${fact.was}, then ${fact.now}: ${fact.why}`);
    else told.push(fact.kind);
  };
  const at = { project: 'shop', component: 'web', hostId: 'host-1', engine, proxy: new FakeProxy() };
  const observer = (heal: boolean) => new Observer({ ...at, heal, now: Date.now, tell, poke: () => {} });
  const memory = { doing: new Map(), startAfter: 0, failures: 0, mayAdvance: () => true };
  const [healing, passing] = [observer(true), observer(false)];
  const look = async (mark: Mark, by = healing) => {
    const record = recordWith(mark);
    const [c] = (await by.observe(desiredOf('shop', 'web', record), record, memory)).containers;
    return [c?.health, c?.saw];
  };
  const calm = ['unknown', NOT_ASKED];
  const unwell = ['unhealthy', 'Docker says it is unhealthy'];
  engine.judge(id, 'starting');
  assert.deepEqual(await look({ servedAt: 1 }), calm);
  engine.judge(id, 'unhealthy');
  assert.deepEqual(await look({}), calm, 'it has not served');
  assert.deepEqual(await look({ servedAt: 1, drainSince: 2 }), calm, 'it leaves anyway');
  assert.deepEqual(await look({ servedAt: 1 }, passing), calm, 'nobody heals');
  assert.deepEqual(told, []);
  assert.deepEqual(await look({ servedAt: 1 }), unwell);
  assert.deepEqual(await look({ servedAt: 1 }), unwell);
  engine.judge(id, 'healthy');
  assert.deepEqual(await look({ servedAt: 1 }), calm);
  assert.deepEqual(told, [
    'unknown, then unhealthy: Docker says it is unhealthy',
    'unhealthy, then healthy: Docker says it is healthy',
  ]);
});

test('a container that is started again is asked anew whether it is ready', async () => {
  let exitCode = 0;
  const engine = new FakeEngine({ program: () => ({ exec: () => ({ exitCode, output: '' }) }) });
  engine.addImage('app', 'sha256:aa');
  const check = { kind: 'exec', id: 'ready', command: ['ready'], intervalMs: 10, timeoutMs: 500 } as const;
  const made = release(7, { component: component({ readyChecks: [{ ...check, fall: 3, rise: 1 }] }) });
  const record: ComponentRecord = {
    ...{ format: 1, status: 'ready', release: 7, releases: [made], marks: {}, linkPorts: {} },
  };
  const id = await engine.create(specOf());
  await engine.start(id);
  const at = { project: 'shop', component: 'web', hostId: 'host-1', engine, proxy: new FakeProxy() };
  const observer = new Observer({ ...at, heal: true, now: Date.now, tell: () => {}, poke: () => {} });
  const memory = { doing: new Map(), startAfter: 0, failures: 0, mayAdvance: () => true };
  const readiness = async () => {
    const { containers } = await observer.observe(desiredOf('shop', 'web', record), record, memory);
    return containers[0]?.readiness;
  };
  await until(async () => (await readiness()) === 'ready', { timeoutMs: 10_000, what: 'it to be ready' });
  exitCode = 1;
  await observer.forget(id);
  assert.equal(await readiness(), 'pending');
  await observer.close();
});

test('what the proxy has for a process that has ended does not reach its container any more', async () => {
  const engine = new FakeEngine();
  engine.addImage('app', 'sha256:aa');
  const id = await engine.create(specOf());
  await engine.start(id);
  const proxy = new FakeProxy();
  const listener = { address: '0.0.0.0', port: 53, kind: 'udp', containerPort: 53 } as const;
  const { address: host = '' } = (await engine.containers({}))[0] ?? {};
  const route = { component: 'web', listeners: [listener], backends: [{ id, host, pid: 12 }] };
  await proxy.setRoute('shop', 'web', route, DEFAULT_LIMITS);
  let gone = false;
  const status = async (owner: string) => {
    const said = await proxy.status(owner);
    return { ...said, backends: said.backends.map((backend) => ({ ...backend, gone })) };
  };
  const made = release(7, { component: component({ readyChecks: [], healthChecks: [] }) });
  const record: ComponentRecord = {
    ...{ format: 1, status: 'ready', release: 7, releases: [made], marks: {}, linkPorts: {} },
  };
  const at = { project: 'shop', component: 'web', hostId: 'host-1', engine, proxy: { ...proxy, status } };
  const observer = new Observer({ ...at, heal: true, now: Date.now, tell: () => {}, poke: () => {} });
  const memory = { doing: new Map(), startAfter: 0, failures: 0, mayAdvance: () => true };
  const isRouted = async () => {
    const { containers } = await observer.observe(desiredOf('shop', 'web', record), record, memory);
    return containers[0]?.routed;
  };
  assert.equal(await isRouted(), true);
  gone = true;
  assert.equal(await isRouted(), false);
  await observer.close();
});

test('a container that somebody has started while it is being removed as a leftover is not on its way out', async (t) => {
  const engine = new FakeEngine();
  engine.addImage('app', 'sha256:aa');
  const id = await engine.create(specOf());
  const record: ComponentRecord = {
    ...{ format: 1, status: 'ready', release: 7, releases: [release(7)], marks: {}, linkPorts: {} },
  };
  const quiet = { heal: false, now: Date.now, tell: () => {}, poke: () => {} };
  const at = { project: 'shop', component: 'web', hostId: 'host-1', engine, proxy: new FakeProxy() };
  const observer = new Observer({ ...at, ...quiet });
  t.after(() => observer.close());
  const isBusy = async (kind: 'remove-container' | 'stop-container') => {
    const memory = { doing: new Map([[id, kind]]), startAfter: 0, failures: 0, mayAdvance: () => true };
    const { containers } = await observer.observe(desiredOf('shop', 'web', record), record, memory);
    return containers[0]?.busy;
  };
  assert.equal(await isBusy('remove-container'), true);
  await engine.start(id);
  assert.equal(await isBusy('remove-container'), false);
  assert.equal(await isBusy('stop-container'), true);
});
