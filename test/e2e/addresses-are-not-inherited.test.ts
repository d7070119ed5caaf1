/** Docker gives a dead container's address to the next one that starts: no request may follow it there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dockerCall } from '../ground/docker.ts';
import { freePort, skipWithoutEngine } from '../ground/harness.ts';
import { getText, openShop, version } from './shop.ts';

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
  const { stdout } = await shop.box.gantryd(['proxy', 'status', '--json']);
  const { backends } = JSON.parse(stdout) as { backends: { id: string; component: string }[] };
  assert.deepEqual(
    backends.filter((b) => b.component === 'web').map((b) => b.id),
    [alive?.id],
  );
  for (let n = 0; n < 10; n++) assert.equal(await getText(shop.http, '/version'), 'web');
});
