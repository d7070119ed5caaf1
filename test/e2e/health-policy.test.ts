/** With `healthPolicy: unroute` an unhealthy container is left without traffic until it is well, and stays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dockerCall } from '../ground/docker.ts';
import { skipWithoutEngine, until } from '../ground/harness.ts';
import { directly, exitedWith, getText, openShop, type Shop, tells, WAIT_MS } from './shop.ts';

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

async function untilRouted(shop: Shop, ids: readonly string[]): Promise<void> {
  const is = async () => (await routed(shop)).join() === [...ids].sort().join();
  await until(is, { timeoutMs: WAIT_MS, what: `traffic for ${ids.join(', ')} alone` });
}

/** Ids of the containers that get traffic, sorted. */
async function routed(shop: Shop): Promise<readonly string[]> {
  const { stdout } = await shop.box.gantryd(['proxy', 'status', '--json']);
  const status = JSON.parse(stdout) as {
    readonly backends: readonly { readonly id: string; readonly routed: boolean }[];
  };
  return status.backends.flatMap((b) => (b.routed ? [b.id] : [])).sort();
}
