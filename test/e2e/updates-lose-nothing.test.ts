/**
 * Updates must lose no request and cut no connection, and an old container must go exactly when its last
 * connection closes. GANTRYD_E2E_UPDATES makes it longer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FarClient, farHost } from '../ground/far.ts';
import { type Cleanup, skipWithoutEngine, until } from '../ground/harness.ts';
import { EASED, EASED_TICK_MS, type Load, startLoad } from '../ground/load.ts';
import { openEvents, openTcp, openWebSocket, type Stream } from '../ground/streams.ts';
import { getText, openShop, type Shop, version } from './shop.ts';

const UPDATES = Number(process.env.GANTRYD_E2E_UPDATES ?? 20);
const UPDATE_MS = 30_000;

test(`${UPDATES} updates under constant load lose no request and cut no connection`, {
  skip: skipWithoutEngine,
  timeout: UPDATES * UPDATE_MS,
}, async (t) => {
  const shop = await openShop(t, { web: { instances: 2 }, led: true });
  await shop.must('start', ...version('v0'));
  const held = await holdBoth(shop);
  t.after(() => Promise.all([...held.keys()].map((stream) => stream.stop())).then(() => undefined));
  const load = await startLoad(t, { http: shop.http, tcp: shop.tcp, led: shop.led, easing: EASED });
  const remote = await remoteClient(t, shop);
  const first = (await shop.containers()).map((c) => c.id);
  for (let n = 1; n < UPDATES; n++) {
    await shop.must('update', '--detach', ...version(`v${n}`));
    assert.equal(await getText(shop.http, '/version'), `v${n}`);
    noneLost(load, n);
  }
  assert.deepEqual(
    await running(shop, first),
    [...first].sort(),
    'the streams still hold the first containers',
  );
  await lastUpdate(shop, held, load, remote);
});

/** Of another host, by way of the kernel; undefined where there is no such way. */
async function remoteClient(t: Cleanup, { led }: Shop): Promise<FarClient | undefined> {
  if (led === undefined) return undefined;
  const client = (await farHost(t)).client(led.tcp.port);
  await client.untilSays('hello');
  return client;
}

/** The last update waits for what the first release still carries: container after container, as streams close. */
async function lastUpdate(
  shop: Shop,
  held: Map<Stream, string>,
  load: Load,
  remote: FarClient | undefined,
): Promise<void> {
  const update = shop.begin('update', ...version('last'));
  await until(() => update.events('release-proven').length > 0, { timeoutMs: UPDATE_MS, what: 'the switch' });
  await load.closeStreams();
  await remote?.leave();
  const serving = (await shop.list()).filter((row) => row.status === 'running').map((row) => row.id);
  assert.equal(serving.length, 2);
  for (const [stream, container] of held) {
    await shop.untilContainers([...new Set([...serving, ...held.values()])], UPDATE_MS);
    assert.equal(
      update.events('container-stopping').some((e) => e.container === container),
      false,
    );
    await stream.stop();
    assert.equal(stream.cutAt, undefined);
    held.delete(stream);
  }
  assert.equal((await update.ended).code, 0);
  await shop.untilContainers(serving);
  const report = await load.stop();
  assert.deepEqual(report.errors, []);
  assert.equal(report.failed + report.cut, 0);
  assert.ok(report.sent > 100 * UPDATES, `${report.sent} requests`);
  const seen = new Set(report.tallies.flatMap((tally) => [...tally.versions.keys()]));
  assert.ok(seen.size > UPDATES, `${seen.size} versions answered`);
}

/** A WebSocket, a TCP stream and an event stream, such that both containers hold one at least. */
async function holdBoth(shop: Shop): Promise<Map<Stream, string>> {
  const { http, tcp, led } = shop;
  const open = [
    () => openWebSocket(http, EASED_TICK_MS),
    () => openTcp(tcp, EASED_TICK_MS),
    () => openEvents(http, EASED_TICK_MS),
  ];
  if (led !== undefined) open.push(() => openTcp(led.tcp, EASED_TICK_MS));
  const held = new Map<Stream, string>();
  let before = await counts(shop);
  for (let n = 0; n < open.length || new Set(held.values()).size < 2; n++) {
    const stream = await open[n % open.length]?.();
    const after = await counts(shop);
    const [container] = [...after].find(([id, count]) => count > (before.get(id) ?? 0)) ?? [];
    before = after;
    assert.ok(stream !== undefined && container !== undefined, 'the list tells who holds the stream');
    held.set(stream, container);
  }
  return held;
}

async function counts(shop: Shop): Promise<Map<string, number>> {
  return new Map((await shop.list()).map((row) => [row.id, row.connections?.open ?? 0]));
}

async function running(shop: Shop, ids: readonly string[]): Promise<readonly string[]> {
  const there = (await shop.containers()).filter((c) => c.state === 'running' && ids.includes(c.id));
  return there.map((c) => c.id).sort();
}

function noneLost(load: Load, update: number): void {
  const { failed, cut, errors } = load.report();
  assert.equal(failed + cut, 0, `after update ${update}: ${errors.join('\n')}`);
}
