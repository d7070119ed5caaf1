/** The links a host requires, as the proxy has them: over a proxy in memory and the file that keeps them. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { linkUrl } from '../../src/agent/links.ts';
import type { Entry } from '../../src/cluster/store.ts';
import { GantryError, isGantryError } from '../../src/errors.ts';
import { LinkRoutes } from '../../src/fleet/links.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { type Cleanup, tempFolder } from '../ground/harness.ts';
import { FakeProxy } from './fake-proxy.ts';

const KEPT = {
  port: 7001,
  exporter: 'db',
  kind: 'tcp',
  containerPort: 5432,
  addresses: ['172.17.0.1'],
} as const;
const REMOTE = { id: 'link:sql@b', host: '10.0.0.2', port: 7009 };

/** A host on which `sql` is required; `file`: what is kept of it. */
async function hostOf(t: Cleanup, file: string = JSON.stringify({ sql: KEPT })) {
  const stateDir = await tempFolder(t);
  await mkdir(join(stateDir, 'links'));
  await writeFile(join(stateDir, 'links', 'shop.json'), file);
  const proxy = new FakeProxy();
  const engine = new FakeEngine();
  const input = { project: 'shop', host: 'a', stateDir, engine, proxy, limits: () => DEFAULT_LIMITS };
  const backends = () => proxy.table('shop').routes.flatMap((r) => r.backends);
  const kept = async () => JSON.parse(await readFile(join(stateDir, 'links', 'shop.json'), 'utf8'));
  return { proxy, backends, kept, begin: () => new LinkRoutes(input) };
}

/** Of one component, whose only release was told this. */
function recordsTelling(url: string) {
  return new Map([['web', { releases: [{ number: 1, linkEnvironment: { DB_CLINK: url } }] }]]);
}

function offersOf(...hosts: readonly (readonly [string, string])[]): ReadonlyMap<string, readonly Entry[]> {
  const entries = hosts.map(([host, address]) => {
    const value = JSON.stringify({ format: 1, host, address, port: 7009 });
    return { key: `sql/${host}`, value, createRevision: 1, modRevision: 1 };
  });
  return new Map([['sql', entries]]);
}

test('a link leads to the exporter here, else to the other hosts that offer it', async (t) => {
  const { proxy, begin } = await hostOf(t);
  const links = begin();
  await links.follow(offersOf(['c', '10.0.0.3'], ['b', '10.0.0.2'], ['a', '10.0.0.1']));
  const [route] = proxy.table('shop').routes;
  assert.deepEqual([route?.component, route?.via], ['link:sql', 'db']);
  assert.deepEqual(
    route?.backends.map((b) => b.host),
    ['10.0.0.2', '10.0.0.3'],
  );
  assert.equal(links.isOffered('sql'), true);
});

test('the last offers stay as long as there are no others, also through a new start', async (t) => {
  const { begin, backends } = await hostOf(t);
  const links = begin();
  await links.follow(offersOf(['b', '10.0.0.2']));
  await links.follow(new Map());
  assert.deepEqual(backends(), [REMOTE]);
  await begin().follow(new Map());
  assert.deepEqual(backends(), [REMOTE]);
  await links.follow(offersOf(['c', '10.0.0.3']));
  assert.deepEqual(
    backends().map((b) => b.host),
    ['10.0.0.3'],
  );
});

test('the last offers stay also when the proxy did not tell them at first', async (t) => {
  const { proxy, begin, backends } = await hostOf(t);
  await begin().follow(offersOf(['b', '10.0.0.2']));
  const { status } = proxy;
  proxy.status = async () => {
    throw new GantryError('proxy-unreachable', 'the proxy does not answer', { retryable: true });
  };
  const links = begin();
  await assert.rejects(links.follow(new Map()), (e) => isGantryError(e, 'proxy-unreachable'));
  proxy.status = status;
  await links.follow(new Map());
  assert.deepEqual(backends(), [REMOTE]);
});

test('a link that no release requires any more is forgotten at the next start, and its port is free', async (t) => {
  const old = { ...KEPT, port: 7002, containerPort: 80, kind: 'http' as const };
  const { proxy, begin, kept } = await hostOf(t, JSON.stringify({ sql: KEPT, old }));
  await begin().follow(new Map());
  assert.equal(proxy.table('shop').routes.length, 2);
  const links = begin();
  const url = linkUrl({ kind: 'tcp', host: '172.17.0.1', port: 7001 });
  await links.keepRequired(recordsTelling(url), async () => [{ component: 'web', release: 1 }]);
  assert.deepEqual(await kept(), { sql: KEPT });
  await links.follow(offersOf(['b', '10.0.0.2']));
  assert.deepEqual(
    proxy.table('shop').routes.map((r) => r.component),
    ['link:sql'],
  );
});

test('a link stays whose kind is another in an update that has only been prepared', async (t) => {
  const { begin, kept } = await hostOf(t);
  const url = linkUrl({ kind: 'http', host: '172.17.0.1', port: 7001 });
  await begin().keepRequired(recordsTelling(url), async () => []);
  assert.deepEqual(await kept(), { sql: KEPT });
});

test('a link stays while a container is here whose record is lost, or the engine does not tell', async (t) => {
  const { begin, kept } = await hostOf(t);
  const url = linkUrl({ kind: 'http', host: '172.17.0.1', port: 7002 });
  for (const lost of [
    { component: 'web', release: 2 },
    { component: 'worker', release: 1 },
  ]) {
    await begin().keepRequired(recordsTelling(url), async () => [lost]);
    assert.deepEqual(await kept(), { sql: KEPT });
  }
  const away = new GantryError('engine-unreachable', 'it is away');
  await assert.rejects(
    begin().keepRequired(recordsTelling(url), () => Promise.reject(away)),
    away,
  );
  assert.deepEqual(await kept(), { sql: KEPT });
});

test('what is kept and cannot be read is told as what it is', async (t) => {
  const { begin } = await hostOf(t, '{');
  await assert.rejects(begin().follow(new Map()), (e) => isGantryError(e, 'state-dir'));
});
