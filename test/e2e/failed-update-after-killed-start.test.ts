/** A start that is killed half-way serves with what was ready; an update that fails afterwards must not end that. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { skipWithoutEngine } from '../ground/harness.ts';
import { newConnectionClient } from '../ground/requests.ts';
import { exitedWith, getText, openShop, tells, version } from './shop.ts';

/** Only the first container that ever starts gets ready. */
const FIRST_ALONE = `
  try {
    require('fs').openSync('/shared/first', 'wx');
    import('/app/server.mjs');
  } catch {
    setInterval(() => {}, 1000);
  }
`;

test('a failed update returns to what served, settled or not', { skip: skipWithoutEngine }, async (t) => {
  const command = ['/bin/node', '-e', FIRST_ALONE];
  const shop = await openShop(t, { web: { instances: 2, command, stopTimeout: 1_000 } });
  const shared = join(shop.box.folder, 'shared');
  await mkdir(shared);
  const bindings = ['--set', `bindings=${JSON.stringify([{ external: shared, volume: '/shared' }])}`];
  const start = shop.begin('start', ...bindings, ...version('v1'));
  await tells(start, 'switched');
  start.signal('SIGKILL');
  await start.ended;
  const client = newConnectionClient(shop.http, 10);
  t.after(() => client.stop());
  const update = await shop.gantry('update', ...bindings, ...version('v2'), '--set', 'readyTimeout=1000');
  exitedWith(1, update);
  assert.match(update.stderr, /release 1 serves on/);
  assert.equal(await getText(shop.http, '/version'), 'v1');
  await client.stop();
  assert.deepEqual(client.tally.errors, []);
});
