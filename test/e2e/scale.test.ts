/** On one box: more of the same under load, then fewer; nothing fails, nothing is cut, and what is too many drains. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutEngine, until } from '../ground/harness.ts';
import { EASED, startLoad } from '../ground/load.ts';
import { openWebSocket } from '../ground/streams.ts';
import { openShop, type Shop, version, WAIT_MS } from './shop.ts';

test('scale 1 to 5 to 2 under load loses nothing, replaces nothing, and drains what is too many', {
  skip: skipWithoutEngine,
  timeout: 120_000,
}, async (t) => {
  const shop = await openShop(t);
  assert.equal((await shop.gantry('scale =3')).code, 2);
  assert.match((await shop.gantry('scale web=2')).stderr, /was never deployed/);
  await shop.must('start', ...version('v1'));
  const [first] = (await shop.containers()).map((c) => c.id);
  const load = await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 500, easing: EASED });
  assert.match(await shop.must('scale web=5'), /Component web is scaled to 5/);
  const five = (await running(shop)).sort();
  assert.equal(five.length, 5);
  assert.ok(five.includes(first ?? ''), 'the one that served serves on');
  // Some of these clients are with containers that are to go.
  const held = await Promise.all(Array.from({ length: 10 }, () => openWebSocket(shop.http)));
  t.after(() => Promise.all(held.map((stream) => stream.stop())).then(() => undefined));
  const fewer = shop.begin('scale web=2');
  await until(() => fewer.events('drain-started').length === 3, {
    timeoutMs: WAIT_MS,
    what: 'three to drain',
  });
  assert.equal((await running(shop)).length, 2);
  await Promise.all(held.map((stream) => stream.stop()));
  await load.closeStreams();
  assert.equal((await fewer.ended).code, 0);
  const two = await running(shop);
  await shop.untilContainers(two);
  assert.deepEqual(
    held.map((stream) => stream.cutAt),
    held.map(() => undefined),
  );
  const report = await load.stop();
  assert.deepEqual(report.errors, []);
  assert.equal(report.failed + report.cut, 0);
  assert.ok(two.every((id) => five.includes(id)));
  assert.deepEqual(new Set((await shop.list()).map((row) => row.release)), new Set([1]));
  await shop.must('update', ...version('v2'));
  assert.equal((await running(shop)).length, 2, 'an update whose instances are the same keeps the number');
  await shop.must('scale web=config');
  assert.equal((await running(shop)).length, 1);
});

async function running(shop: Shop): Promise<string[]> {
  return (await shop.list()).filter((row) => row.status === 'running').map((row) => row.id);
}
