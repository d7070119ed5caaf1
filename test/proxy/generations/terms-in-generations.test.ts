/** Who waits or is to leave when the proxy is upgraded: the older process follows the tables with them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureProxy, upgradeProxy } from '../../../src/proxy/generations/launch.ts';
import type { HoldTerms, LeaveTerms, RouteTable } from '../../../src/proxy/tables/routes.ts';
import { ask, dial, heard, until } from '../ground.ts';
import { stateDir, town } from '../process-ground.ts';

const HOLD: HoldTerms = { timeoutMs: 60_000, max: 5 };
const LEAVE: LeaveTerms = { idleTimeoutMs: 0, closeSpreadMs: 1 };

test('clients of an older process wait on, are served, asked to leave, and counted', async (t) => {
  const folder = await stateDir(t);
  const place = await town(t);
  const client = await ensureProxy({ stateDir: folder });
  const put = async (table: RouteTable, empty = false) => {
    const { revision } = await client.table('shop');
    const routes = table.routes.map((route) => {
      const backends = empty ? [] : route.backends;
      return { ...route, backends, hold: HOLD, leave: LEAVE };
    });
    await client.put('shop', { ifRevision: revision, table: { ...table, routes } });
  };
  const waiting = async () => (await client.status('shop')).waiting ?? 0;

  await put(place.table('a'), true);
  const early = ask(place.url);
  await until('it waits', async () => (await waiting()) === 1);
  await upgradeProxy({ stateDir: folder });
  const late = ask(place.url);
  await until('both processes are counted', async () => (await waiting()) === 2);
  assert.equal((await client.status('another')).waiting, undefined);
  await put(place.table('a'));
  assert.deepEqual(
    (await Promise.all([early, late])).map(({ body }) => body),
    ['a', 'a'],
  );
  await until('nobody waits', async () => (await waiting()) === 0);

  const socket = await dial(place.address, place.httpPort);
  t.after(() => void socket.destroy());
  const { text } = heard(socket);
  socket.write('GET / HTTP/1.1\r\nHost: town\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await until('it is joined', () => text().endsWith('\r\n\r\n'));
  await upgradeProxy({ stateDir: folder });
  await put(place.table('b'));
  await until('the older process asks it to leave', () => text().endsWith('\x88\x02\x03\xf4'));
  socket.end();
  await until('the container is free', async () => {
    const { backends } = await client.status('shop');
    return backends.every(({ id }) => id !== 'a');
  });
});
