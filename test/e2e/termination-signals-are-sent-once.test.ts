/** A draining container must hear its termination signals once, whoever is killed in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutEngine } from '../ground/harness.ts';
import { openWebSocket } from '../ground/streams.ts';
import { directly, exitedWith, getText, opened, openShop, tells, version, waits } from './shop.ts';

test('termination signals are sent once, also when the next command adopts the drain', {
  skip: skipWithoutEngine,
}, async (t) => {
  const shop = await openShop(t, {
    web: { terminationSignals: [{ kind: 'http', path: '/terminate', port: 8080 }] },
  });
  await shop.must('start', ...version('v1'));
  const [old] = await shop.containers();
  const inside = await directly(old?.id ?? '');
  const signals = async () => JSON.parse(await getText(inside, '/signals')).signals;
  const socket = await opened(t, openWebSocket(shop.http));
  assert.equal(await signals(), 0);

  const update = shop.begin('update', ...version('v2'));
  await tells(update, 'signals-sent');
  update.interrupt('SIGKILL');
  await update.ended;
  assert.equal(await signals(), 1);

  await shop.must('update', '--detach', ...version('v3'));
  const stop = shop.begin('stop');
  await waits(stop, /1 connection/);
  assert.equal(await signals(), 1);
  await socket.stop();
  exitedWith(0, await stop.ended);
  const told = [update, stop].flatMap((command) => command.events('signals-sent'));
  assert.equal(told.filter((event) => event.container === old?.id).length, 1);
});
