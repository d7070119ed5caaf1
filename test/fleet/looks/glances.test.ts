import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { NO_PROXY } from '../../../src/agent/proxy-port.ts';
import type { Container } from '../../../src/docker/engine.ts';
import { glances } from '../../../src/fleet/looks/glances.ts';
import type { BackendReport, ListenerReport, ProxyStatus } from '../../../src/proxy/control/protocol.ts';

const web = { id: 'w1', name: 'shop-web-1', component: 'web', state: 'running', health: 'none' } as Container;
const db = { ...web, id: 'd1', name: 'shop-db-1', component: 'db' };

async function ground(t: TestContext) {
  const stateDir = await mkdtemp(join(tmpdir(), 'gantryd-glances-'));
  t.after(() => rm(stateDir, { recursive: true }));
  const host = { containers: [web, db] as readonly Container[], status: NO_PROXY, asked: 0 };
  const engine = {
    containers: async () => {
      host.asked += 1;
      return host.containers;
    },
  };
  const glance = glances({
    ...{ project: 'shop', hostId: 'h1', stateDir, engine },
    proxy: { status: async () => host.status },
  });
  return { host, glance };
}

test('all who glance at once share one look', async (t) => {
  const { host, glance } = await ground(t);
  const [first, second] = await Promise.all([glance('web'), glance('web'), glance('db')]);
  assert.equal(first, second);
  assert.equal(host.asked, 1);
  assert.equal(await glance('web'), first);
  assert.equal(host.asked, 2);
});

test('what one component goes by changes its words alone', async (t) => {
  const { host, glance } = await ground(t);
  const seen = () => Promise.all([glance('web'), glance('db')]);
  const backend = { owner: 'shop', component: 'web', id: 'w1', open: 0 } as BackendReport;
  const listener = { owner: 'shop', component: 'web', address: '', port: 80, kind: 'tcp' } as ListenerReport;
  const changes: Partial<ProxyStatus>[] = [
    { backends: [{ ...backend, gone: true }] },
    { listeners: [listener] },
    { listeners: [{ ...listener, plane: 'kernel' }] },
  ];
  let [before, other] = await seen();
  const differs = async (what: string) => {
    const [now, still] = await seen();
    assert.notEqual(now, before, what);
    assert.equal(still, other, what);
    before = now;
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
  host.status = { ...NO_PROXY, ...changes[2], backends: [{ ...backend, open: 7 }] };
  assert.deepEqual(await seen(), [before, other], 'counts are not looked at');
});

test('a table that changed, and another proxy, concern all', async (t) => {
  const { host, glance } = await ground(t);
  const seen = () => Promise.all([glance('web'), glance('db')]);
  const before = await seen();
  const table = { routes: [], limits: { maxConnections: 1 } } as never;
  host.status = { ...NO_PROXY, owners: [{ owner: 'shop', revision: 2, table }] };
  const after = await seen();
  assert.ok(after.every((words, at) => words !== before[at]));
  host.status = { ...host.status, pid: 7 };
  assert.ok((await seen()).every((words, at) => words !== after[at]));
});
