import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { NO_PROXY } from '../../../src/agent/proxy-port.ts';
import type { Container } from '../../../src/docker/engine.ts';
import { Glances } from '../../../src/fleet/looks/glances.ts';
import type { BackendReport, ListenerReport, ProxyStatus } from '../../../src/proxy/control/protocol.ts';
import { until } from '../../proxy/ground.ts';

const web = { id: 'w1', name: 'shop-web-1', component: 'web', state: 'running', health: 'none' } as Container;
const db = { ...web, id: 'd1', name: 'shop-db-1', component: 'db' };

async function ground(t: TestContext) {
  const stateDir = await mkdtemp(join(tmpdir(), 'gantryd-glances-'));
  t.after(() => rm(stateDir, { recursive: true }));
  const host = {
    containers: [web, db] as readonly Container[],
    status: NO_PROXY,
    asked: 0,
    fails: false,
    own: { web: 'well', db: 'well' },
  };
  const engine = {
    containers: async () => {
      host.asked += 1;
      if (host.fails) throw new Error('the engine is away');
      return host.containers;
    },
  };
  const all = new Glances({
    ...{ project: 'shop', hostId: 'h1', stateDir, engine },
    proxy: { status: async () => host.status },
  });
  const told: string[] = [];
  const watch = (name: 'web' | 'db') =>
    all.watch(name, { words: () => host.own[name], changed: () => told.push(name) });
  const ends = [watch('web'), watch('db')];
  /** Who was told at one glance. */
  const glance = async () => {
    await all.glance();
    return told.splice(0);
  };
  return { host, stateDir, all, glance, ends };
}

test('one look serves all, and after the first nobody is told while all is as it was', async (t) => {
  const { host, glance } = await ground(t);
  assert.deepEqual(await glance(), ['web', 'db'], 'what was before it nobody knows');
  assert.equal(host.asked, 1);
  for (let n = 0; n < 3; n++) assert.deepEqual(await glance(), []);
  host.containers = [...host.containers];
  host.status = { ...host.status };
  assert.deepEqual(await glance(), [], 'the same in other objects');
});

test('what one component goes by is told to it alone, once', async (t) => {
  const { host, glance } = await ground(t);
  const backend = { owner: 'shop', component: 'web', id: 'w1', open: 0 } as BackendReport;
  const listener = { owner: 'shop', component: 'web', address: '', port: 80, kind: 'tcp' } as ListenerReport;
  const changes: Partial<ProxyStatus>[] = [
    { backends: [{ ...backend, gone: true }] },
    { listeners: [listener] },
    { listeners: [{ ...listener, plane: 'kernel' }] },
  ];
  await glance();
  const differs = async (what: string) => {
    assert.deepEqual(await glance(), ['web'], what);
    assert.deepEqual(await glance(), [], what);
  };
  host.containers = [{ ...web, state: 'exited' }, db];
  await differs('a container that ended');
  host.containers = [{ ...web, health: 'unhealthy' }, db];
  await differs('what Docker says of it');
  host.containers = [{ ...web, address: '172.17.0.9' }, db];
  await differs('its address');
  host.containers = [db];
  await differs('a container that went');
  for (const change of changes) {
    host.status = { ...NO_PROXY, ...change };
    await differs(JSON.stringify(change));
  }
  host.own.web = 'it answered 500';
  await differs('its checks');
  host.status = { ...NO_PROXY, ...changes[2], backends: [{ ...backend, open: 7 }] };
  assert.deepEqual(await glance(), [], 'counts are not looked at');
});

test('a table that changed, another proxy and a record that was written concern all', async (t) => {
  const { host, stateDir, glance } = await ground(t);
  const records = join(stateDir, 'components', 'shop');
  await glance();
  const table = { routes: [], limits: { maxConnections: 1 } } as never;
  host.status = { ...NO_PROXY, owners: [{ owner: 'shop', revision: 2, table }] };
  assert.deepEqual(await glance(), ['web', 'db']);
  host.status = { ...host.status, pid: 7 };
  assert.deepEqual(await glance(), ['web', 'db']);
  assert.deepEqual(await glance(), []);
  await mkdir(records, { recursive: true });
  for (let n = 0; n < 2; n++)
    assert.deepEqual(await glance(), ['web', 'db'], 'it may be written again unseen');
  await utimes(records, 1, 1);
  assert.deepEqual(await glance(), ['web', 'db'], 'what came before it could not be told');
  assert.deepEqual(await glance(), []);
  await utimes(records, 1, 2);
  assert.deepEqual(await glance(), ['web', 'db']);
  assert.deepEqual(await glance(), []);
});

test('while it cannot be told all look each time, and once more when it can', async (t) => {
  const { host, glance } = await ground(t);
  await glance();
  host.fails = true;
  for (let n = 0; n < 2; n++) assert.deepEqual(await glance(), ['web', 'db']);
  host.fails = false;
  assert.deepEqual(await glance(), ['web', 'db']);
  assert.deepEqual(await glance(), []);
});

test('who watches no more is not told', async (t) => {
  const { host, glance, ends } = await ground(t);
  await glance();
  ends[0]?.();
  host.containers = [];
  assert.deepEqual(await glance(), ['db']);
});

test('it looks again and again until it is to end', async (t) => {
  const { host, all } = await ground(t);
  const ended = new AbortController();
  const running = all.run(ended.signal, 10);
  await until('it has looked three times', () => host.asked >= 3);
  ended.abort();
  await running;
});
