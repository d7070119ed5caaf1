/**
 * What becomes of an unhealthy container is up to `healthPolicy`: with `unroute` it is left without traffic until it is
 * well, and stays; with `report` it is told of. Who finds it unhealthy may be Docker, by the check of its image.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dockerCall, removeContainer } from '../ground/docker.ts';
import { type Cleanup, skipWithoutEngine, until } from '../ground/harness.ts';
import { keepAliveClient, newConnectionClient } from '../ground/requests.ts';
import { directly, type Event, exitedWith, getText, openShop, type Shop, tells, WAIT_MS } from './shop.ts';

const skip = skipWithoutEngine;
const HEALTH = { kind: 'http', path: '/health', port: 8080, interval: 200 };

test('an unhealthy container is unrouted, comes back when it is well, and is replaced when it dies', {
  skip,
}, async (t) => {
  const web = { healthPolicy: 'unroute', instances: 2, healthChecks: [HEALTH] };
  const shop = await openShop(t, { web });
  const monitor = shop.begin('start', '-m');
  await tells(monitor, 'monitoring');
  const both = (await shop.containers()).map(({ id }) => id).sort();
  const [sick = '', well = ''] = both;
  await getText(await directly(sick), '/break');
  await untilRouted(shop, [well]);
  await getText(await directly(well), '/break');
  await until(() => monitor.events('health-changed').filter((e) => e.now === 'unhealthy').length === 2, {
    timeoutMs: WAIT_MS,
    what: 'both to be unhealthy',
  });
  assert.notEqual(await getText(shop.http, '/version'), '', 'the last one keeps its traffic');
  for (const id of both) await getText(await directly(id), '/mend');
  await untilRouted(shop, both);
  assert.deepEqual((await shop.containers()).map(({ id }) => id).sort(), both, 'none was replaced');
  await dockerCall('POST', `/containers/${sick}/kill`);
  await until(async () => (await routed(shop)).length === 2 && !(await routed(shop)).includes(sick), {
    timeoutMs: WAIT_MS,
    what: 'another one in place of the dead one',
  });
  monitor.interrupt();
  exitedWith(0, await monitor.ended);
});

test('with report an unhealthy container is told of, and nothing else happens', { skip }, async (t) => {
  const web = { healthPolicy: 'report', instances: 2, healthChecks: [HEALTH] };
  const shop = await openShop(t, { web });
  const monitor = shop.begin('start', '-m');
  await tells(monitor, 'monitoring');
  const before = monitor.events().filter(isDeed);
  const both = await routed(shop);
  const [sick = ''] = both;
  for (const [path, health] of [
    ['/break', 'unhealthy'],
    ['/mend', 'healthy'],
  ] as const) {
    await getText(await directly(sick), path);
    const told = () => monitor.events('health-changed').at(-1);
    const isTold = () => told()?.container === sick && told()?.now === health;
    await until(isTold, { timeoutMs: WAIT_MS, what: `it to be told as ${health}` });
    assert.deepEqual(await routed(shop), both, health);
  }
  assert.deepEqual(monitor.events().filter(isDeed), before);
  monitor.interrupt();
  exitedWith(0, await monitor.ended);
});

test('one that Docker calls unhealthy is replaced start-first, and no request fails', { skip }, async (t) => {
  const shop = await openShop(t);
  await judgedByDocker(t, `gantryd-e2e-${shop.box.project}:app`);
  const monitor = shop.begin('start', '-m');
  await tells(monitor, 'monitoring');
  const clients = [newConnectionClient(shop.http, 20), keepAliveClient(shop.http, 20)];
  t.after(() => Promise.all(clients.map((client) => client.stop())).then(() => undefined));
  const [sick = ''] = await routed(shop);
  await getText(await directly(sick), '/break');
  await until(async () => (await routed(shop)).length === 1 && !(await routed(shop)).includes(sick), {
    timeoutMs: WAIT_MS,
    what: 'another one in place of it',
  });
  const [fell] = monitor.events('health-changed').filter((e) => e.now === 'unhealthy');
  assert.deepEqual([fell?.container, fell?.why], [sick, 'Docker says it is unhealthy']);
  await Promise.all(clients.map((client) => client.stop()));
  assert.deepEqual(
    clients.flatMap((client) => client.tally.errors),
    [],
  );
  monitor.interrupt();
  exitedWith(0, await monitor.ended);
});

/** Gives the image a check of its own, which Docker asks. */
async function judgedByDocker(t: Cleanup, tag: string): Promise<void> {
  const made = await dockerCall('POST', '/containers/create', {
    Image: tag,
    Healthcheck: { Test: ['CMD', '/bin/node', '-e', ASKS], Interval: 300_000_000, Retries: 1 },
  });
  const { Id } = made as { readonly Id: string };
  t.after(() => removeContainer(Id));
  const [repo = '', name = ''] = tag.split(':');
  await dockerCall('POST', `/commit?${new URLSearchParams({ container: Id, repo, tag: name })}`);
}

const ASKS = `fetch('http://127.0.0.1:8080/health').then((answer) => process.exit(answer.ok ? 0 : 1))`;

/** Something was done to containers or traffic. */
function isDeed({ kind }: Event): boolean {
  return /^(switched|drain-|container-(created|stopping|removed|failed))/.test(kind);
}

async function untilRouted(shop: Shop, ids: readonly string[]): Promise<void> {
  const is = async () => (await routed(shop)).join() === [...ids].sort().join();
  await until(is, { timeoutMs: WAIT_MS, what: `traffic for ${ids.join(', ')} alone` });
}

/** Ids of the containers that get traffic, sorted. */
async function routed(shop: Shop): Promise<readonly string[]> {
  const { backends } = await shop.box.proxy();
  return backends.flatMap((b) => (b.routed ? [b.id] : [])).sort();
}
