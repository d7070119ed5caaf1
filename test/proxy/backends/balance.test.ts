/** The work of real clients goes to who has the least under way, over all kinds, doors and generations. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import http, { type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { SILENT } from '../../../src/log.ts';
import { ensureProxy, upgradeProxy } from '../../../src/proxy/generations/launch.ts';
import { DataPlane } from '../../../src/proxy/proxy.ts';
import {
  ask,
  dial,
  type Ground,
  ground,
  heard,
  OWNER,
  openOn,
  type TestBackend,
  tableOf,
  onBothPaths as test,
  until,
  untilIdle,
} from '../ground.ts';
import { NO_KERNEL } from '../memory-kernel.ts';
import { stateDir, town } from '../process-ground.ts';

const LONG_MS = 3_600_000;
const SLOWLY = { slowStartMs: LONG_MS };

function named(g: Ground, ...ids: readonly string[]): Promise<TestBackend[]> {
  return Promise.all(ids.map((id) => g.http(id, (_req, res) => res.end(id), agree)));
}

/** Takes every upgrade. */
function agree(server: http.Server): void {
  server.on('upgrade', (_req, socket) => {
    socket.on('error', () => {}).pipe(socket);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  });
}

async function answersOf(url: string, count: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let n = 0; n < count; n++) {
    const { status, body } = await ask(url);
    assert.equal(status, 200);
    counts[body] = (counts[body] ?? 0) + 1;
  }
  return counts;
}

async function websocket(g: Ground): Promise<Socket> {
  const socket = await g.dial();
  const { text } = heard(socket);
  socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await until('it is joined', () => text().endsWith('\r\n\r\n'));
  return socket;
}

const openOnAll = (g: Ground, ...ids: readonly string[]) => ids.map((id) => openOn(g.plane, id));

test('requests that take long keep the next ones away, and who is done gets the next', async (t) => {
  const g = await ground(t);
  const waiting: Record<string, ServerResponse[]> = { a: [], b: [], c: [] };
  const ids = Object.keys(waiting);
  const all = await Promise.all(ids.map((id) => g.http(id, (_req, res) => void waiting[id]?.push(res))));
  await g.route(all);
  const under = () => ids.map((id) => waiting[id]?.length);
  const answers: Promise<unknown>[] = [];
  for (let n = 1; n <= 9; n++) {
    answers.push(ask(g.url));
    await until('it has arrived', () => under().reduce<number>((sum, count) => sum + (count ?? 0), 0) === n);
  }
  assert.deepEqual(under(), [3, 3, 3]);
  for (const res of [...(waiting.b?.splice(0) ?? []), ...(waiting.c?.splice(0, 1) ?? [])]) res.end();
  await until('they are over', () => g.plane.open === 5);
  for (let n = 1; n <= 4; n++) {
    answers.push(ask(g.url));
    await until('it has arrived', () => g.plane.open === 5 + n);
  }
  assert.deepEqual(openOnAll(g, ...ids), [3, 3, 3]);
  await until('all are there', () => under().every((count) => count === 3));
  for (const res of Object.values(waiting).flat()) res.end();
  await Promise.all(answers);
  await untilIdle(g.plane);
});

test('a slow backend gets what it can take, and the others share the rest evenly', async (t) => {
  const g = await ground(t);
  const late: ServerResponse[] = [];
  const slow = await g.http('slow', (_req, res) => void late.push(res));
  await g.route([slow, ...(await named(g, 'b', 'c'))]);
  const first = ask(g.url);
  await until('the slow one has it', () => late.length === 1);
  assert.deepEqual(await answersOf(g.url, 60), { b: 30, c: 30 });
  late[0]?.end('slow');
  await first;
});

test('connections without a request count nowhere, neither those of clients nor those kept to backends', async (t) => {
  const g = await ground(t);
  const [a, b] = await named(g, 'a', 'b');
  assert.ok(a !== undefined && b !== undefined);
  await g.route([a]);
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  await Promise.all(Array.from({ length: 5 }, () => ask(g.url, { agent })));
  assert.ok(a.sockets.size > 0, 'connections are kept to it');
  await g.route([a, b]);
  assert.deepEqual(await answersOf(g.url, 20), { a: 10, b: 10 });
});

test('WebSockets count as long as they are open, for requests too', async (t) => {
  const g = await ground(t);
  await g.route(await named(g, 'a', 'b'));
  const sockets = [await websocket(g), await websocket(g), await websocket(g), await websocket(g)];
  assert.deepEqual(openOnAll(g, 'a', 'b'), [2, 2]);
  sockets[1]?.destroy();
  sockets[3]?.destroy();
  await until('those of b are gone', () => openOn(g.plane, 'b') === 0);
  assert.deepEqual(await answersOf(g.url, 10), { b: 10 });
  const more = [await websocket(g), await websocket(g)];
  assert.deepEqual(openOnAll(g, 'a', 'b'), [2, 2]);
  for (const socket of [...sockets, ...more]) socket.destroy();
  await untilIdle(g.plane);
});

test('tcp connections go to who has the least, whenever the others came', async (t) => {
  const g = await ground(t);
  const echo = (socket: Socket) => void socket.pipe(socket);
  const [a, b] = [await g.tcp('a', echo), await g.tcp('b', echo)];
  await g.route([a], { kind: 'tcp' });
  const sockets = [await g.dial(), await g.dial(), await g.dial()];
  await until('they are on a', () => openOn(g.plane, 'a') === 3);
  await g.route([a, b], { kind: 'tcp' });
  for (let n = 1; n <= 4; n++) {
    sockets.push(await g.dial());
    await until('it is led', () => g.plane.open === 3 + n);
  }
  const [onA = 0, onB = 0] = openOnAll(g, 'a', 'b');
  assert.deepEqual([onA + onB, Math.abs(onA - onB)], [7, 1]);
  for (const socket of sockets) socket.destroy();
  await untilIdle(g.plane);
});

test('who joins is led few clients, also over later tables; after an update all are equal', async (t) => {
  const g = await ground(t);
  const [old, fresh, next] = [await named(g, 'a', 'b'), await named(g, 'c'), await named(g, 'd', 'e')];
  await g.route(old, SLOWLY);
  const { tables } = g.plane;
  await g.plane.close();
  // What a proxy begins with is settled.
  const plane = await planeWith(t, tables);
  const route = async (backends: readonly TestBackend[]) => {
    const { revision, table } = plane.table(OWNER);
    const routes = table.routes.map((it) => ({ ...it, backends }));
    await plane.put(OWNER, { ifRevision: revision, table: tableOf(routes) });
  };
  assert.deepEqual(await answersOf(g.url, 20), { a: 10, b: 10 });
  for (const _ of [1, 2]) {
    await route([...old, ...fresh]);
    const { c: ofFresh = 0 } = await answersOf(g.url, 63);
    assert.ok(ofFresh >= 2 && ofFresh <= 4, `${ofFresh} of 63 went to it: 1 of 21`);
  }
  await route(next);
  assert.deepEqual(await answersOf(g.url, 20), { d: 10, e: 10 });
});

test('who is there from the start is equal, though one was ready before the other', async (t) => {
  const g = await ground(t);
  const [a, b] = [await named(g, 'a'), await named(g, 'b')];
  await g.route(a, SLOWLY);
  await g.route([...a, ...b], SLOWLY);
  const { a: first = 0, b: second = 0 } = await answersOf(g.url, 20);
  assert.ok(Math.abs(first - second) <= 2, `${first} and ${second}`);
});

test('who is fresh takes everything as soon as it is alone', async (t) => {
  const g = await ground(t);
  const [a, b] = (await named(g, 'a', 'b')) as [TestBackend, TestBackend];
  await g.route([a], SLOWLY);
  await g.route([a, b], SLOWLY);
  a.close();
  assert.deepEqual(await answersOf(g.url, 20), { b: 20 });
});

async function planeWith(t: TestContext, tables: DataPlane['tables']): Promise<DataPlane> {
  const tablesPath = join(tmpdir(), `gantryd-balance-${process.pid}.json`);
  const plane = new DataPlane({ tablesPath, log: SILENT, ...NO_KERNEL });
  t.after(async () => {
    await plane.close();
    await rm(tablesPath, { force: true });
  });
  plane.takeOver(tables);
  await plane.bindRest();
  return plane;
}

it('what an older process carries counts, as long as it does', async (t) => {
  const folder = await stateDir(t);
  const place = await town(t);
  const client = await ensureProxy({ stateDir: folder });
  const put = async (...ids: readonly string[]) => {
    const { revision } = await client.table('shop');
    const tables = ids.map((id) => place.table(id));
    const routes = (tables[0] ?? tableOf([])).routes.map((route) => ({
      ...route,
      backends: tables.flatMap((table) => table.routes[0]?.backends ?? []),
    }));
    await client.put('shop', { ifRevision: revision, table: tableOf(routes) });
  };
  const open = async (id: string) =>
    (await client.status('shop')).backends.find((backend) => backend.id === id)?.open ?? 0;
  await put('a');
  const older = await Promise.all([1, 2].map(() => dial(place.address, place.tcpPort)));
  await until('they are on a', async () => (await open('a')) === 2);
  await upgradeProxy({ stateDir: folder });
  await put('a', 'b');
  const newer = await Promise.all([1, 2].map(() => dial(place.address, place.tcpPort)));
  await until('they are on b', async () => (await open('b')) === 2);
  for (const socket of older) {
    socket.destroy();
    await once(socket, 'close');
  }
  await until('the older process is gone', async () => (await client.status()).older === undefined);
  newer.push(...(await Promise.all([1, 2].map(() => dial(place.address, place.tcpPort)))));
  await until('they are on a', async () => (await open('a')) === 2);
  for (const socket of newer) socket.destroy();
});
