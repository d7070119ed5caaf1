/** The proxy as a process: started on demand, alone, outliving its starter, coming back with its tables. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { proxyPort } from '../../../src/agent/proxy-port.ts';
import { isGantryError } from '../../../src/errors.ts';
import { ProxyClient } from '../../../src/proxy/control/client.ts';
import {
  type Change,
  PROTOCOL_VERSION,
  PROXY_LOG,
  PROXY_SOCKET,
  UPGRADABLE_SINCE,
} from '../../../src/proxy/control/protocol.ts';
import { ensureProxy } from '../../../src/proxy/generations/launch.ts';
import { DEFAULT_LIMITS, EMPTY_TABLE, type RouteTable } from '../../../src/proxy/tables/routes.ts';
import { ask, dial, ownAddress, until } from '../ground.ts';
import { isGone, processesOf, refused, site, stateDir } from '../process-ground.ts';

test('two starters at once end with one proxy, which serves, and only its owner may ask it', async (t) => {
  const folder = await stateDir(t);
  const web = await site(t, (_req, res) => void res.end('served'));
  const clients = await Promise.all([1, 2, 3, 4].map(() => ensureProxy({ stateDir: folder })));
  const pids = new Set(await Promise.all(clients.map(async (client) => (await client.status()).pid)));
  assert.equal(pids.size, 1);
  assert.equal((await stat(join(folder, PROXY_SOCKET))).mode & 0o777, 0o600);
  const [client] = clients;
  assert.equal((await client?.put('shop', { ifRevision: 0, table: web.table }))?.revision, 1);
  assert.equal((await ask(web.url)).body, 'served');
  assert.deepEqual((await client?.status('blog'))?.owners, []);
});

test('the proxy survives its starter, its process group and the interrupt of a terminal', async (t) => {
  const folder = await stateDir(t);
  const script = `
    const { ensureProxy } = await import(process.argv[1]);
    await ensureProxy({ stateDir: process.argv[2] });
    console.log('started');
    setInterval(() => {}, 1000);`;
  const launch = new URL('../../../src/proxy/generations/launch.js', import.meta.url).href;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', script, launch, folder], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => starter.kill('SIGKILL'));
  await once(starter.stdout, 'data');
  const client = new ProxyClient({ stateDir: folder });
  const { pid } = await client.status();
  process.kill(-Number(starter.pid), 'SIGINT');
  await once(starter, 'exit');
  process.kill(pid, 'SIGINT');
  process.kill(pid, 'SIGHUP');
  assert.equal((await client.status()).pid, pid);
  const stats = await readFile(`/proc/${pid}/stat`, 'utf8');
  const session = stats.slice(stats.lastIndexOf(')') + 2).split(' ')[3];
  assert.equal(session, String(pid), 'it has a session of its own');
});

test('killed and started again, the proxy serves what it served', async (t) => {
  const folder = await stateDir(t);
  const [web, blog] = await Promise.all([
    site(t, (_req, res) => void res.end('web')),
    site(t, (_req, res) => void res.end('blog')),
  ]);
  const client = await ensureProxy({ stateDir: folder });
  const shop = await client.put('shop', { ifRevision: 0, table: web.table });
  await client.put('blog', { ifRevision: 0, table: blog.table });
  const { pid } = await client.status();
  process.kill(pid, 'SIGKILL');
  await until('another serves', async () =>
    (await ensureProxy({ stateDir: folder })).status().then(
      (s) => s.pid !== pid,
      () => false,
    ),
  );
  const again = await ensureProxy({ stateDir: folder });
  assert.deepEqual([(await ask(web.url)).body, (await ask(blog.url)).body], ['web', 'blog']);
  assert.deepEqual(await again.table('shop'), shop);
  assert.equal(
    (await refused(again.put('shop', { ifRevision: 0, table: web.table }))).code,
    'route-conflict',
  );
});

test('told to stop, the proxy finishes what it carries and takes nothing new', async (t) => {
  const folder = await stateDir(t);
  let slow: http.ServerResponse | undefined;
  const web = await site(t, (_req, res) => {
    slow = res;
    res.write('begun ');
  });
  const client = await ensureProxy({ stateDir: folder });
  const { revision } = await client.put('shop', { ifRevision: 0, table: web.table });
  const answer = ask(web.url);
  await until('a request is under way', () => slow !== undefined);
  const stop = await refused(client.stop());
  assert.equal(stop.code, 'proxy-failed');
  assert.match(stop.message, /in use: 1 connection is open/);
  const { pid } = await client.status();
  process.kill(pid, 'SIGTERM');
  await until('it is stopping', async () => (await client.status()).stopping === true);
  await assert.rejects(dial(web.address, web.port), { code: 'ECONNREFUSED' });
  const put = await refused(client.put('shop', { ifRevision: revision, table: EMPTY_TABLE }));
  assert.deepEqual([put.code, put.retryable], ['proxy-failed', true]);
  slow?.end('and done');
  assert.equal((await answer).body, 'begun and done');
  await until('it is gone', () => isGone(client));
  const again = await ensureProxy({ stateDir: folder });
  assert.equal((await again.table('shop')).revision, revision);
});

test('an idle proxy stops when asked, a busy one when forced', async (t) => {
  const folder = await stateDir(t);
  let asked = false;
  const web = await site(t, () => {
    asked = true;
  });
  const idle = await ensureProxy({ stateDir: folder });
  await idle.put('shop', { ifRevision: 0, table: web.table });
  await idle.stop();
  await until('it is gone', () => isGone(idle));
  const busy = await ensureProxy({ stateDir: folder });
  const cut = ask(web.url).catch((error) => error.code);
  await until('a request is under way', () => asked);
  await busy.stop(true);
  assert.equal(await cut, 'ECONNRESET');
  await until('it is gone', () => isGone(busy));
});

test('told to take its rules along, a proxy ends also where it cannot', async (t) => {
  const folder = await stateDir(t);
  const client = await ensureProxy({ stateDir: folder });
  await client.stop(true, true);
  await rm(folder, { recursive: true }); // what looks after the rules does not start without its folder
  await until('its processes are gone', () => processesOf(folder).length === 0);
  await mkdir(folder);
});

test('changes of an owner are told as they happen, and a lost proxy is noticed', async (t) => {
  const folder = await stateDir(t);
  let slow: http.ServerResponse | undefined;
  const web = await site(t, (_req, res) => {
    slow = res;
    res.flushHeaders();
  });
  const client = await ensureProxy({ stateDir: folder });
  const changes: Change[] = [];
  const aborter = new AbortController();
  const watching = client.changes('shop', (change) => changes.push(change), aborter.signal);
  let { revision } = await client.put('shop', { ifRevision: 0, table: web.table });
  const answer = ask(web.url);
  await until('a request is under way', () => slow !== undefined);
  ({ revision } = await client.put('shop', { ifRevision: revision, table: EMPTY_TABLE }));
  const [report] = (await client.status('shop')).backends;
  assert.deepEqual([report?.routed, report?.open], [false, 1]);
  slow?.end();
  await answer;
  await until('its end is told', () => changes.at(-1)?.kind === 'idle');
  assert.deepEqual(changes.at(-1), { kind: 'idle', backend: 'a' });
  aborter.abort();
  await watching;

  const lost = client.changes('shop', () => {}, new AbortController().signal);
  const { pid } = await client.status();
  process.kill(pid, 'SIGKILL');
  assert.equal((await refused(lost)).code, 'proxy-unreachable');
});

test('what the proxy refuses arrives as the error it is', async (t) => {
  const folder = await stateDir(t);
  const client = await ensureProxy({ stateDir: folder });
  const broken = { routes: [{ component: 'web' }], limits: {} } as unknown as RouteTable;
  const { code, message } = await refused(client.put('shop', { ifRevision: 0, table: broken }));
  assert.equal(code, 'proxy-failed');
  assert.match(message, /routes\/0\/listeners must be a list/);
  const huge = { ...EMPTY_TABLE, padding: 'x'.repeat(9_000_000) } as RouteTable;
  await refused(client.put('shop', { ifRevision: 0, table: huge }));
  assert.equal((await client.table('shop')).revision, 0);
});

test('a proxy that cannot start says why, with the end of its log', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-state-'));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, PROXY_SOCKET));
  await writeFile(join(folder, PROXY_SOCKET, 'in-the-way'), '');
  await writeFile(join(folder, PROXY_LOG), 'an earlier line\n');
  const { code, message } = await refused(ensureProxy({ stateDir: folder }));
  assert.equal(code, 'proxy-failed');
  assert.match(message, /could not be started: it ended with 1/);
  assert.match(message, /an earlier line\n.*proxy\.sock/s);
});

test('a proxy that hangs is not mistaken for one that is not there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-state-'));
  const mute = net.createServer(() => {});
  await new Promise<void>((resolve) => mute.listen(join(folder, PROXY_SOCKET), resolve));
  t.after(async () => {
    mute.close();
    await rm(folder, { recursive: true });
  });
  const client = new ProxyClient({ stateDir: folder, deadlineMs: 200 });
  const { code, message } = await refused(client.status());
  assert.equal(code, 'proxy-unreachable');
  assert.match(message, /no answer within 200 ms/);
});

test('a state directory whose path is too long for a socket is refused', () => {
  assert.throws(
    () => new ProxyClient({ stateDir: `/tmp/${'x'.repeat(120)}` }),
    (error) => isGantryError(error, 'state-dir'),
  );
});

test('a proxy of another protocol is refused with what to do, not asked for what it does not know', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-state-'));
  t.after(() => rm(folder, { recursive: true }));
  const asked: unknown[] = [];
  const older = http.createServer((req, res) => {
    asked.push(req.method);
    res.end(JSON.stringify({ protocol: UPGRADABLE_SINCE - 1, version: '0.0.9', owners: [] }));
  });
  await new Promise<void>((resolve) => older.listen(join(folder, PROXY_SOCKET), resolve));
  t.after(() => older.close());
  const proxy = proxyPort(folder);
  const link = { component: 'link:db', listeners: [], backends: [], via: 'db' };
  const { code, message } = await refused(proxy.setRoute('shop', link.component, link, DEFAULT_LIMITS));
  const spoken = `protocol ${UPGRADABLE_SINCE - 1}, not ${PROTOCOL_VERSION}`;
  assert.deepEqual([code, message], ['proxy-failed', `the running proxy (0.0.9) speaks ${spoken}`]);
  assert.deepEqual(asked, ['GET']);
});

test('containers that are gone leave every table; what other hosts offer stays', async (t) => {
  const folder = await stateDir(t);
  const web = await site(t, (_req, res) => void res.end('served'));
  const away = { id: 'link:db@other', host: ownAddress(), port: 7000 };
  const link = { component: 'link:db', listeners: [], backends: [away], via: 'web' };
  const client = await ensureProxy({ stateDir: folder });
  const table = { ...web.table, routes: [...web.table.routes, link] };
  const { revision } = await client.put('shop', { ifRevision: 0, table });
  const proxy = proxyPort(folder);
  await proxy.unrouteGone(async () => new Set(['a']));
  assert.equal((await client.table('shop')).revision, revision);
  await proxy.unrouteGone(async () => new Set());
  const { routes } = (await client.table('shop')).table;
  assert.deepEqual(
    routes.map(({ backends }) => backends),
    [[], [away]],
  );
  const { backends } = await client.status('shop');
  assert.deepEqual(
    backends.map(({ component, id, routed }) => [component, id, routed]),
    [['link:db', away.id, true]],
  );
});
