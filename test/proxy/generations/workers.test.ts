/** Several processes of one proxy: they share the clients, count as one, and none of them is needed by another's clients. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import http from 'node:http';
import { type TestContext, test } from 'node:test';
import type { ProxyClient } from '../../../src/proxy/control/client.ts';
import type { BackendReport, ProxyStatus } from '../../../src/proxy/control/protocol.ts';
import { ensureProxy, upgradeProxy } from '../../../src/proxy/generations/launch.ts';
import type { RouteTable } from '../../../src/proxy/tables/routes.ts';
import { type Answer, ask, dial, heard, until } from '../ground.ts';
import {
  openStreams,
  processesOf,
  type Stream,
  startLoad,
  stateDir,
  type Town,
  town,
} from '../process-ground.ts';

interface Scene {
  readonly folder: string;
  readonly client: ProxyClient;
  readonly town: Town;
  /** Leads to `a` or `b` by so many workers. */
  route(id: string, workers?: number, change?: (table: RouteTable) => RouteTable): Promise<void>;
  status(): Promise<ProxyStatus>;
  backend(id: string): Promise<BackendReport | undefined>;
  /** Waits until so many processes accept. */
  serving(count: number): Promise<number[]>;
}

/** A proxy of so many processes that leads to the container `a`. */
async function scene(t: TestContext, workers: number): Promise<Scene> {
  const folder = await stateDir(t);
  const made = await town(t);
  const client = await ensureProxy({ stateDir: folder });
  const status = () => client.status();
  async function route(
    id: string,
    count = workers,
    change = (table: RouteTable): RouteTable => table,
  ): Promise<void> {
    const { revision } = await client.table('shop');
    const table = made.table(id);
    const limits = { ...table.limits, workers: count };
    await client.put('shop', { ifRevision: revision, table: change({ ...table, limits }) });
  }
  async function serving(count: number): Promise<number[]> {
    let pids: number[] = [];
    await until(`${count} processes serve`, async () => {
      const now = await status().catch(() => undefined);
      pids = (now?.workers ?? (now === undefined ? [] : [now])).map(({ pid }) => pid);
      return pids.length === count;
    });
    return pids;
  }
  await route('a');
  await serving(workers);
  return {
    ...{ folder, client, town: made, route, status, serving },
    backend: async (id) => (await status()).backends.find((backend) => backend.id === id),
  };
}

/** One stream of each kind in each of these processes: the others do not run when its clients come. */
async function streamsInEach(t: TestContext, { town }: Scene, pids: readonly number[]): Promise<Stream[]> {
  const streams: Stream[] = [];
  for (const pid of pids) {
    const others = pids.filter((other) => other !== pid);
    for (const other of others) process.kill(other, 'SIGSTOP');
    try {
      streams.push(...(await openStreams(t, town)));
    } finally {
      for (const other of others) process.kill(other, 'SIGCONT');
    }
  }
  return streams;
}

async function livesOf(streams: readonly Stream[]): Promise<boolean[]> {
  return await Promise.all(
    streams.map((stream) =>
      stream.lives().then(
        () => true,
        () => false,
      ),
    ),
  );
}

test('workers share the clients, count as one, and a drain waits for the last of any', async (t) => {
  const it = await scene(t, 3);
  const { client, town, route, status, backend, serving } = it;
  const streams = await streamsInEach(t, it, await serving(3));
  await until('all have told', async () => (await backend('a'))?.open === streams.length);
  const { listeners, workers = [] } = await status();
  assert.equal(
    workers.reduce((sum, { open }) => sum + open, 0),
    streams.length,
  );
  assert.equal(
    listeners.reduce((sum, { connections }) => sum + connections, 0),
    streams.length,
  );
  const holds = await client.holds('shop');
  assert.deepEqual([holds.length, new Set(holds.map(({ pid }) => pid)).size], [streams.length, 3]);
  const metrics = await client.metrics();
  assert.deepEqual([metrics.workers, metrics.generations, metrics.silent], [3, 1, 0]);
  await route('b');
  assert.deepEqual([(await backend('a'))?.routed, (await backend('a'))?.open], [false, streams.length]);
  const told = new Set<string>();
  const over = new AbortController();
  const watching = client.changes(
    'shop',
    ({ kind, backend: id }) => void told.add(`${kind} ${id}`),
    over.signal,
  );
  const last = streams.pop();
  for (const stream of streams) stream.close();
  await until('one is left', async () => (await backend('a'))?.open === 1);
  await last?.lives();
  const { cut } = await client.cut({ owner: 'shop', backend: 'a' });
  assert.equal(cut, 1, 'in whichever process it is');
  await until('the drain has ended', async () => (await backend('a')) === undefined);
  await until('its end is told', () => told.has('idle a'));
  over.abort();
  await watching;
  assert.equal((await ask(town.url)).body, 'b');
});

test('a put is in force in all processes before it answers, also one that moves a port', async (t) => {
  const { town, route } = await scene(t, 3);
  const load = startLoad(town);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 12 });
  t.after(() => agent.destroy());
  for (const id of ['b', 'a', 'b', 'a', 'b', 'a']) {
    await route(id);
    const asked = Array.from({ length: 24 }, (_, n) => ask(town.url, n % 2 === 0 ? { agent } : {}));
    const answers = await Promise.all(asked);
    assert.deepEqual([...new Set(answers.map(({ body }) => body))], [id]);
  }
  await load.end();
  const elsewhere = (address: string) => (table: RouteTable) => ({
    ...table,
    routes: table.routes.map((r) => ({ ...r, listeners: r.listeners.map((l) => ({ ...l, address })) })),
  });
  await route('a', 3, elsewhere('0.0.0.0'));
  await route('b', 3, elsewhere(town.address));
  assert.equal((await ask(town.url)).body, 'b');
  await route('b', 3, (table) => ({ ...table, routes: table.routes.map((r) => ({ ...r, listeners: [] })) }));
  await assert.rejects(dial(town.address, town.httpPort), { code: 'ECONNREFUSED' });
  await route('a');
  assert.equal((await ask(town.url)).body, 'a');
});

test('who comes to a port that is given up is answered, also while a worker that listens there hangs', async (t) => {
  const { client, town, route, serving } = await scene(t, 2);
  const { pid } = await client.status();
  const hung = (await serving(2)).find((other) => other !== pid) ?? assert.fail();
  process.kill(hung, 'SIGSTOP');
  await route('a', 2, (table) => ({ ...table, routes: [] }));
  const answers: Answer[] = [];
  ask(town.url).then(
    (answer) => answers.push(answer),
    (error: Error) => assert.fail(error),
  );
  const line = heard(await dial(town.address, town.tcpPort));
  await until('a client of each kind is told that nobody serves', () => answers.length > 0 && line.ended());
  assert.equal(answers[0]?.status, 503);
  await route('b');
  assert.equal((await ask(town.url)).body, 'b', 'and the port can be had again');
  await route('a', 2, (table) => ({ ...table, routes: [] }));
  process.kill(hung, 'SIGCONT');
  const isClosed = (port: number) =>
    dial(town.address, port).then(
      (socket) => void socket.destroy(),
      () => true,
    );
  await until(
    'the ports are closed once it goes on',
    async () => (await isClosed(town.httpPort)) === true && (await isClosed(town.tcpPort)) === true,
  );
});

test('a worker that is killed takes its own clients along and nobody else, and is replaced', async (t) => {
  const it = await scene(t, 3);
  const { town, client, status, serving } = it;
  const pids = await serving(3);
  const streams = await streamsInEach(t, it, pids);
  const victim = pids[1] ?? assert.fail();
  const own = (await status()).workers?.find(({ pid }) => pid === victim)?.open;
  const killedAt = performance.now();
  process.kill(victim, 'SIGKILL');
  await until('another serves', async () => {
    assert.equal((await ask(town.url)).body, 'a', 'whoever comes now is let in');
    const { workers = [] } = await status();
    return workers.length === 3 && workers.every(({ pid }) => pid !== victim);
  });
  assert.ok(performance.now() - killedAt < 5_000, 'at once, on a machine that is busy');
  const load = startLoad(town);
  const alive = await livesOf(streams);
  assert.equal(alive.filter((lives) => !lives).length, own);
  assert.equal((await client.status()).older, undefined);
  const answered = load.answered();
  await until('new clients come in', () => load.answered() > answered + 50);
  await load.end();
});

test('an upgrade of three processes under load: no request fails, no connection is cut', async (t) => {
  const it = await scene(t, 3);
  const { folder, town, route, status, backend, serving } = it;
  const before = await serving(3);
  const streams = await streamsInEach(t, it, before);
  const load = startLoad(town);
  const { now } = await upgradeProxy({ stateDir: folder });
  const after = await serving(3);
  assert.equal(after[0], now.pid);
  assert.ok(after.every((pid) => !before.includes(pid)));
  await route('b');
  const { older = [] } = await status();
  assert.deepEqual(older.map(({ pid }) => pid).sort(), [...before].sort());
  assert.ok(((await backend('a'))?.open ?? 0) >= streams.length);
  const answered = load.answered();
  await until('clients have come back', () => load.answered() > answered + 50);
  await load.end();
  assert.deepEqual(
    await livesOf(streams),
    streams.map(() => true),
  );
  for (const stream of streams) stream.close();
  await until('the older ones end', async () => (await status()).older === undefined);
  assert.equal((await readdir(folder)).filter((name) => name.endsWith('.sock')).length, 4);
});

test('workers of a proxy that is killed keep their clients, and give the ports to the next one', async (t) => {
  const it = await scene(t, 3);
  const { town, route, status, backend, serving } = it;
  const [pid = 0, ...workers] = await serving(3);
  const streams = await streamsInEach(t, it, [pid, ...workers]);
  const own = (await status()).workers?.[0]?.open;
  process.kill(pid, 'SIGKILL');
  const after = await serving(3);
  assert.ok(after.every((other) => ![pid, ...workers].includes(other)));
  assert.equal((await livesOf(streams)).filter((lives) => !lives).length, own);
  await route('b');
  assert.equal((await backend('a'))?.open, streams.length - (own ?? 0));
  assert.equal((await ask(town.url)).body, 'b');
  assert.deepEqual((await status()).older?.map((o) => o.pid).sort(), [...workers].sort());
});

test('more workers, fewer, and the end of all: nobody notices', async (t) => {
  const it = await scene(t, 1);
  const { folder, client, town, route, status, serving } = it;
  assert.equal(processesOf(folder, 'node').length, 1);
  await route('a', 3);
  const streams = await streamsInEach(t, it, await serving(3));
  const load = startLoad(town);
  await route('b', 1);
  await serving(1);
  assert.equal((await status()).older?.length, 2);
  await route('a', 2);
  await serving(2);
  const answered = load.answered();
  await until('slow clients have come back', () => load.answered() > answered + 50);
  await load.end();
  assert.deepEqual(
    await livesOf(streams),
    streams.map(() => true),
  );
  process.kill((await status()).pid, 'SIGTERM');
  await until('it stops', async () => (await status()).stopping === true);
  assert.deepEqual(
    await livesOf(streams),
    streams.map(() => true),
  );
  await assert.rejects(dial(town.address, town.httpPort), { code: 'ECONNREFUSED' });
  for (const stream of streams) stream.close();
  await until('nothing is left', () => processesOf(folder).length === 0);
  await assert.rejects(client.status());
  assert.deepEqual((await readdir(folder)).sort(), ['proxy-tables.json', 'proxy.lock', 'proxy.log']);
});
