/** Docker gives a dead container's address to the next one that starts: no request may follow it there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dockerCall, removeContainer } from '../ground/docker.ts';
import { freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import { directly, exitedWith, getText, openShop, version, WAIT_MS } from './shop.ts';

const CHECK = { kind: 'http', path: '/health', port: 8080 };

test('whoever starts next gets no requests of a container that died', {
  skip: skipWithoutEngine,
}, async (t) => {
  const ports = [{ external: await freePort(), container: 8080, kind: 'http' }];
  const side = {
    name: 'side',
    ports,
    readyChecks: [CHECK],
    environmentVariables: [{ name: 'VERSION', value: 'side' }],
  };
  const shop = await openShop(t, { web: { instances: 2 }, others: [side] });
  await shop.must('start', ...version('web'));
  const [dead, alive] = await shop.containers();
  await dockerCall('POST', `/containers/${dead?.id}/kill`);
  await dockerCall('POST', `/containers/${dead?.id}/wait`);
  await shop.must('start side');
  const { backends } = await shop.box.proxy();
  assert.deepEqual(
    backends.filter((b) => b.component === 'web').map((b) => b.id),
    [alive?.id],
  );
  for (let n = 0; n < 10; n++) assert.equal(await getText(shop.http, '/version'), 'web');
});

test('a container that was started again by hand is reached at its new address', {
  skip: skipWithoutEngine,
}, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('web'));
  const [web] = await shop.containers();
  const before = (await directly(web?.id ?? '')).host;
  await dockerCall('POST', `/containers/${web?.id}/stop?t=1`);
  const stranger = await foreign(web?.image ?? '');
  t.after(() => removeContainer(stranger));
  await dockerCall('POST', `/containers/${web?.id}/start`);
  t.diagnostic(`from ${before} to ${(await directly(web?.id ?? '')).host}`);
  const monitor = shop.begin('start', '-m');
  await until(async () => (await getText(shop.http, '/version')) === 'web', {
    timeoutMs: WAIT_MS,
    what: 'an answer',
  });
  for (let n = 0; n < 10; n++) assert.equal(await getText(shop.http, '/version'), 'web');
  monitor.interrupt();
  exitedWith(0, await monitor.ended);
});

/** Not ours; takes the first address that is free. */
async function foreign(image: string): Promise<string> {
  const { Id } = (await dockerCall('POST', '/containers/create', {
    Image: image,
    Env: ['VERSION=foreign'],
  })) as { Id: string };
  await dockerCall('POST', `/containers/${Id}/start`);
  return Id;
}
