/** The proxy is replaced while it carries everything, by the next of the same version: nobody may notice. */
import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { proxyPort } from '../../../src/agent/proxy-port.ts';
import type { ProxyClient } from '../../../src/proxy/control/client.ts';
import {
  type BackendReport,
  type Change,
  PROXY_TABLES,
  type ProxyStatus,
} from '../../../src/proxy/control/protocol.ts';
import { ensureProxy, upgradeProxy } from '../../../src/proxy/generations/launch.ts';
import { MAIN } from '../../../src/proxy/generations/spawned.ts';
import { ask, until } from '../ground.ts';
import {
  openStreams,
  processesOf,
  refused,
  slowUpload,
  startLoad,
  stateDir,
  type Town,
  town,
} from '../process-ground.ts';

interface Scene {
  readonly folder: string;
  readonly client: ProxyClient;
  readonly town: Town;
  route(id: string): Promise<void>;
  backend(id: string): Promise<BackendReport | undefined>;
  upgrade(): Promise<{ was: number; now: number }>;
}

/** A proxy that leads to the container `a`. */
async function scene(t: TestContext): Promise<Scene> {
  const folder = await stateDir(t);
  const made = await town(t);
  const client = await ensureProxy({ stateDir: folder });
  const route = async (id: string) => {
    const { revision } = await client.table('shop');
    await client.put('shop', { ifRevision: revision, table: made.table(id) });
  };
  await route('a');
  return {
    ...{ folder, client, town: made, route },
    backend: async (id) => (await client.status()).backends.find((backend) => backend.id === id),
    upgrade: async () => {
      const { was, now } = await upgradeProxy({ stateDir: folder });
      return { was: was.pid, now: now.pid };
    },
  };
}

function olderPids({ older = [] }: ProxyStatus): number[] {
  return older.map(({ pid }) => pid).sort((a, b) => a - b);
}

/** A main.js that does what ours does and, when the elder says a word, something more. */
async function mainThat(folder: string, word: string, deed: string): Promise<string> {
  const path = join(folder, `main-${word}.mjs`);
  const text = `
    const on = process.on.bind(process);
    process.on = (name, listener) => on(name, name !== 'message' ? listener : (message, handle) => {
      listener(message, handle);
      if (message.kind === ${JSON.stringify(word)}) { ${deed} }
    });
    await import(${JSON.stringify(MAIN)});`;
  await writeFile(path, text);
  return path;
}

test('upgraded twice under load: no request fails, no connection is cut, drains and routes go on', async (t) => {
  const { folder, client, town, route, backend, upgrade } = await scene(t);
  const changes: Change[] = [];
  const load = startLoad(town);
  const tables = join(folder, PROXY_TABLES);
  await rm(tables); // as if the disk had been full when it was to be written
  const streams = await openStreams(t, town);
  const upload = await slowUpload(town);
  const first = await upgrade();
  streams.push(...(await openStreams(t, town)));
  assert.match(await readFile(tables, 'utf8'), /"shop"/);
  const second = await upgrade();
  assert.equal(second.was, first.now);
  streams.push(...(await openStreams(t, town)));
  assert.equal(await upload.finish(), '200 200000');
  const status = await client.status();
  assert.equal(status.pid, second.now);
  assert.deepEqual(
    olderPids(status),
    [first.was, first.now].sort((a, b) => a - b),
  );
  await route('b');
  const left = await backend('a');
  assert.deepEqual([left?.routed, left?.upgraded, left?.tcp], [false, 3, 3]);
  assert.equal(left?.open, (left?.inFlight ?? 0) + 6);
  assert.ok((left?.peers.length ?? 0) >= 9);
  const answered = load.answered();
  await until('slow clients have come back twice', () => load.answered() > answered + 100);
  await load.end();
  for (const stream of streams) await stream.lives();
  const aborter = new AbortController();
  const watching = client.changes('shop', (change) => changes.push(change), aborter.signal);
  for (const stream of streams) stream.close();
  await until('the older ones end', async () => (await client.status()).older === undefined);
  await until('the end of the drain is told', () => changes.some(({ kind }) => kind === 'idle'));
  assert.equal(await backend('a'), undefined);
  const sockets = (await readdir(folder)).filter((name) => name.endsWith('.sock'));
  assert.deepEqual(sockets.sort(), [`proxy-${second.now}.sock`, 'proxy.sock']);
  aborter.abort();
  await watching;
});

test('what only the elder holds is told as held from the first answer of its successor on', async (t) => {
  const { client, town, route, backend, upgrade } = await scene(t);
  const streams = await openStreams(t, town);
  await route('b');
  let isOver = false;
  const upgraded = upgrade().finally(() => {
    isOver = true;
  });
  const told = new Set<string>();
  for (let looks = 0; !isOver || looks < 10; looks += isOver ? 1 : 0) {
    const { pid, backends } = await client.status();
    const held = backends.find(({ id }) => id === 'a');
    told.add(`${pid}: ${held?.open}`);
  }
  const { was, now } = await upgraded;
  assert.deepEqual([...told].sort(), [`${was}: 3`, `${now}: 3`].sort());
  assert.equal((await backend('a'))?.routed, false);
  for (const stream of streams) await stream.lives();
});

test('a client that stays with an older generation follows each change of the route, and is asked to leave', async (t) => {
  const { town, route, upgrade } = await scene(t);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  assert.equal((await ask(town.url, { agent })).body, 'a');
  await upgrade();
  await route('b');
  const { body, headers } = await ask(town.url, { agent });
  assert.deepEqual([body, headers.connection], ['b', 'close']);
  assert.equal((await ask(town.url, { agent })).headers.connection, 'keep-alive');
});

test('an agent goes on over an upgrade: its calls wait for it, and it follows changes again', async (t) => {
  const { folder, town, route, upgrade } = await scene(t);
  const agent = proxyPort(folder);
  const aborter = new AbortController();
  t.after(() => aborter.abort());
  let pokes = 0;
  agent.watch('shop', () => (pokes += 1), aborter.signal);
  await agent.status('shop');
  const { routes, limits } = town.table('b');
  await Promise.all([upgrade(), agent.setRoute('shop', 'web', routes[0], limits)]);
  assert.equal((await ask(town.url)).body, 'b');
  await until('it follows changes again', async () => {
    const before = pokes;
    await route('a');
    await setImmediate();
    return pokes > before;
  });
});

test('a successor that cannot start, or dies half way, changes nothing', async (t) => {
  const { folder, client, town, route, upgrade } = await scene(t);
  const streams = await openStreams(t, town);
  const { pid } = await client.status();
  const node = process.execPath;
  const absent = await refused(client.upgrade({ node, main: join(folder, 'nothing.js') }));
  assert.equal(absent.code, 'proxy-failed');
  assert.match(absent.message, /could not be upgraded: its successor ended with 1\..*Cannot find module/s);
  assert.match((await refused(client.upgrade({ node: '/no/node', main: MAIN }))).message, /ENOENT/);
  const dies = await mainThat(folder, 'door', 'process.exit(3);');
  const [late, second] = await Promise.all([
    refused(client.upgrade({ node, main: dies })),
    refused(client.upgrade({ node, main: dies })),
  ]);
  const said = [late.message, second.message].sort().join('\n');
  assert.match(said, /being upgraded already.*its successor ended with 3/s);
  assert.equal((await client.status()).pid, pid);
  for (const stream of streams) await stream.lives();
  await route('b');
  assert.equal((await ask(town.url)).body, 'b');
  await until('it has its standby', () => processesOf(folder, 'flock').length === 1);
  assert.equal((await upgrade()).was, pid);
  assert.equal((await ask(town.url)).body, 'b');
});

test('when the elder dies half way, its successor binds the rest and serves', async (t) => {
  const { folder, client, town, upgrade } = await scene(t);
  const { pid } = await client.status();
  const main = await mainThat(folder, 'door', `process.kill(${pid}, 'SIGKILL');`);
  await refused(client.upgrade({ node: process.execPath, main }));
  const listening = async () => (await client.status().catch(() => undefined))?.listeners.length;
  await until('another serves both ports', async () => (await listening()) === 2);
  const status = await client.status();
  assert.notEqual(status.pid, pid);
  assert.equal((await ask(town.url)).body, 'a');
  await openStreams(t, town);
  assert.equal((await upgrade()).was, status.pid);
});

test('an elder that does not answer delays nothing, and what it may use counts as held', async (t) => {
  const { client, town, route, backend, upgrade } = await scene(t);
  const [stream] = await openStreams(t, town);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  await route('b');
  await ask(town.url, { agent });
  const { was } = await upgrade();
  process.kill(was, 'SIGSTOP');
  await route('a');
  const { older } = await client.status();
  assert.deepEqual(
    older?.map(({ pid, silent }) => [pid, silent]),
    [[was, true]],
  );
  const held = await backend('b');
  assert.deepEqual([held?.routed, held?.open], [false, 1]);
  const begun = performance.now();
  await route('b');
  await route('a');
  assert.ok(performance.now() - begun < 2_000, 'it is not waited for again');
  process.kill(was, 'SIGCONT');
  await until('it follows', async () => (await client.status()).older?.[0]?.silent === undefined);
  assert.equal(await backend('b'), undefined);
  assert.equal((await ask(town.url, { agent })).body, 'a');
  await stream?.lives();
});
