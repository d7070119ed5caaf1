/** The table and the listeners as they change, above all under load. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { isGantryError } from '../../../src/errors.ts';
import { SILENT } from '../../../src/log.ts';
import type { Change } from '../../../src/proxy/control/protocol.ts';
import { CLOSE_GRACE_MS } from '../../../src/proxy/http/http.ts';
import { DataPlane } from '../../../src/proxy/proxy.ts';
import { EMPTY_TABLE, type Listener } from '../../../src/proxy/tables/routes.ts';
import {
  ask,
  type Ground,
  ground,
  heard,
  OWNER,
  openOn,
  ownAddress,
  type TestBackend,
  tableOf,
  until,
  untilIdle,
} from '../ground.ts';
import { NO_KERNEL } from '../memory-kernel.ts';

const SWAPS = 200;
const run = promisify(execFile);

test('200 swaps under load lose nothing and lead nothing to where the table no longer leads', async (t) => {
  const g = await ground(t);
  const tcpPort = g.port + 1;
  const held: http.ServerResponse[] = [];
  const answer = (id: string) => (req: http.IncomingMessage, res: http.ServerResponse) => {
    if (req.url === '/hold') {
      res.write('held ');
      return void held.push(res);
    }
    let bytes = 0;
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    req.on('end', () => res.end(`${id} ${bytes}`));
  };
  const backends = { a: await g.http('a', answer('a')), b: await g.http('b', answer('b')) };
  let leads: 'a' | 'b' = 'a';
  /** Counts completed swaps; a request that sees the same count before and after met one table only. */
  let swaps = 0;
  let swapping = false;
  const swap = async (to: 'a' | 'b') => {
    swapping = true;
    await put(g, backends[to], tcpPort);
    leads = to;
    swaps += 1;
    swapping = false;
  };
  await swap('a');
  const long = [g.url, `http://${g.address}:${tcpPort}`].map((url) => ask(url, { path: '/hold' }));
  await until('long answers are under way', () => held.length === 2);

  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const body = Buffer.alloc(40_000);
  const kinds = {
    keepAlive: () => ask(g.url, { agent }),
    close: () => ask(g.url),
    post: () => ask(g.url, { method: 'POST', body, agent }),
    chunked: () => ask(g.url, { method: 'PUT', body, headers: { 'Transfer-Encoding': 'chunked' } }),
    tcp: () => ask(`http://${g.address}:${tcpPort}`),
  };
  const done = { keepAlive: 0, close: 0, post: 0, chunked: 0, tcp: 0 };
  const wrong: string[] = [];
  let running = true;
  const loop = async (kind: keyof typeof kinds) => {
    while (running) {
      const [before, during, led] = [swaps, swapping, leads];
      try {
        const { status, body: said } = await kinds[kind]();
        const settled = !during && !swapping && before === swaps;
        if (status !== 200) wrong.push(`${kind}: ${status}`);
        else if (settled && !said.startsWith(led)) wrong.push(`${kind}: ${said} although ${led} is routed`);
        done[kind] += 1;
      } catch (error) {
        wrong.push(`${kind}: ${String(error)}`);
      }
    }
  };
  const names = Object.keys(kinds) as (keyof typeof kinds)[];
  const loops = [...names, ...names].map(loop);
  for (let i = 1; i <= SWAPS; i++) {
    await swap(i % 2 === 0 ? 'a' : 'b');
    assert.ok(openOn(g.plane, 'a') >= 2, 'what is held is counted throughout');
    const routed = g.plane.status().backends.filter((backend) => backend.routed);
    assert.deepEqual(
      routed.map((backend) => backend.id),
      [leads],
    );
    const since = { ...done };
    await until('the load went on', () => done.keepAlive > since.keepAlive);
  }
  running = false;
  await Promise.all(loops);
  assert.deepEqual(wrong, []);
  for (const res of held) res.end('to the end');
  for (const answered of long) assert.equal((await answered).body, 'held to the end');
  for (const name of names) assert.ok(done[name] > SWAPS / 10, `${name}: only ${done[name]}`);
  await untilIdle(g.plane);
  const left = leads === 'a' ? backends.b : backends.a;
  await until('the unrouted backend has no connection', () => left.sockets.size === 0);
});

async function put(g: Ground, { id, host }: TestBackend, tcpPort: number): Promise<void> {
  const at = { address: g.address, containerPort: g.containerPort };
  const table = tableOf([
    {
      component: 'web',
      listeners: [
        { ...at, port: g.port, kind: 'http' },
        { ...at, port: tcpPort, kind: 'tcp' },
      ],
      backends: [{ id, host }],
    },
  ]);
  await g.plane.put(OWNER, { ifRevision: g.plane.table(OWNER).revision, table });
}

test('what is open on a backend stays when it is unrouted, and its end is told', async (t) => {
  const g = await ground(t);
  let slow: http.ServerResponse | undefined;
  const old = await g.http('old', (_req, res) => {
    slow = res;
    res.write('begun ');
  });
  const next = await g.http('next', (_req, res) => void res.end('next'));
  await g.route([old]);
  const changes: Change[] = [];
  t.after(g.plane.subscribe((owner, change) => owner === OWNER && changes.push(change)));
  const answer = ask(g.url);
  await until('the answer began', () => slow !== undefined);
  await g.route([next]);
  assert.equal((await ask(g.url)).body, 'next');
  const report = g.plane.status().backends.find((backend) => backend.id === 'old');
  assert.deepEqual([report?.routed, report?.open, report?.inFlight], [false, 1, 1]);
  assert.deepEqual(changes, [{ kind: 'table' }]);
  slow?.end('and done');
  assert.equal((await answer).body, 'begun and done');
  await until('its end is told', () => changes.length === 2);
  assert.deepEqual(changes[1], { kind: 'idle', backend: 'old' });
  assert.deepEqual(
    g.plane.status().backends.map((backend) => backend.id),
    ['next'],
  );
});

test('a request whose only backend does not answer goes where a swap leads meanwhile', async (t) => {
  const g = await ground(t);
  const silent = await g.silent('silent');
  const alive = await g.http('alive', (req, res) => void req.pipe(res));
  await g.route([silent], { limits: { connectTimeoutMs: 400 } });
  const answer = ask(g.url, { method: 'POST', body: 'kept' });
  await until('it is under way', () => openOn(g.plane, 'silent') === 1);
  await g.route([alive]);
  assert.equal((await answer).body, 'kept');
});

test('a listener that leaves the table stops accepting and lets everybody inside finish', async (t) => {
  const g = await ground(t);
  let slow: http.ServerResponse | undefined;
  const backend = await g.http('a', (req, res) => {
    if (req.url === '/slow') slow = res;
    else res.end('ok');
  });
  await g.route([backend]);
  const busy = await g.dial();
  const idle = await g.dial();
  const [busySaid, idleSaid] = [heard(busy), heard(idle)];
  idle.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(
    'the idle one is idle',
    () => idleSaid.text().endsWith('ok\r\n0\r\n\r\n') || idleSaid.text().endsWith('ok'),
  );
  busy.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the busy one is busy', () => slow !== undefined);

  await g.plane.put(OWNER, { ifRevision: g.plane.table(OWNER).revision, table: EMPTY_TABLE });
  const since = performance.now();
  await assert.rejects(ask(g.url), { code: 'ECONNREFUSED' });
  await until('the idle one is asked to leave', idleSaid.ended);
  assert.ok(performance.now() - since > CLOSE_GRACE_MS / 2, 'no grace was given');
  assert.equal(busySaid.ended(), false);
  slow?.end('finished');
  await until('the busy one is done', busySaid.ended);
  assert.match(busySaid.text(), /Connection: close.*finished/is);
  await untilIdle(g.plane);
});

test('a listener changes its kind without refusing anybody', async (t) => {
  const g = await ground(t);
  const backend = await g.http(
    'a',
    (req, res) => void res.end(String(req.headers['x-forwarded-for'] ?? 'direct')),
  );
  await g.route([backend]);
  const failed: unknown[] = [];
  let running = true;
  const load = (async () => {
    while (running) await ask(g.url).catch((error) => failed.push(error));
  })();
  for (let i = 0; i < 20; i++) {
    await g.route([backend], { kind: 'tcp' });
    assert.equal((await ask(g.url)).body, 'direct');
    await g.route([backend], { kind: 'http' });
    assert.match((await ask(g.url)).body, /^127/);
  }
  running = false;
  await load;
  assert.deepEqual(failed, []);
  const early = await g.dial();
  const earlySaid = heard(early);
  await g.route([backend], { kind: 'tcp' });
  early.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the old connection is answered and closed', earlySaid.ended);
  assert.match(earlySaid.text(), /^HTTP\/1.1 200 OK\r\n/);
});

function listenerAt(address: string, port: number): Listener {
  return { address, port, kind: 'http', containerPort: 80 };
}

function tableAt(component: string, ...listeners: Listener[]) {
  return tableOf([{ component, listeners, backends: [] }]);
}

async function refusal(promise: Promise<unknown>): Promise<{ code: string; message: string; hint: string }> {
  try {
    await promise;
  } catch (error) {
    assert.ok(isGantryError(error), String(error));
    return { code: error.code, message: error.message, hint: error.hint ?? '' };
  }
  return assert.fail('it was not refused');
}

test('two owners live side by side, and one cannot take the port of the other', async (t) => {
  const { plane, address, port } = await ground(t);
  await plane.put('shop', { ifRevision: 0, table: tableAt('web', listenerAt(address, port)) });
  for (const place of [address, '0.0.0.0', '::']) {
    const { code, message } = await refusal(
      plane.put('blog', { ifRevision: 0, table: tableAt('site', listenerAt(place, port)) }),
    );
    assert.equal(code, 'port-taken');
    assert.match(message, /blog\/site asks for .* which shop\/web has/);
  }
  await plane.put('blog', { ifRevision: 0, table: tableAt('site', listenerAt(address, port + 1)) });
  await plane.put('blog', { ifRevision: plane.table('blog').revision, table: EMPTY_TABLE });
  assert.equal((await ask(`http://${address}:${port}`)).status, 503);
  assert.deepEqual(plane.status('blog').listeners, []);
  assert.equal(plane.status('shop').listeners.length, 1);
});

test('a port that a foreign process has is refused with its name, and nothing else changes', async (t) => {
  const { plane, address, port } = await ground(t);
  const foreign = net.createServer();
  t.after(() => foreign.close());
  await new Promise<void>((resolve) => foreign.listen(port, address, resolve));
  const before = tableAt('web', listenerAt(address, port + 1));
  const { revision } = await plane.put('shop', { ifRevision: 0, table: before });
  const table = tableAt('web', listenerAt(address, port + 2), listenerAt(address, port));
  const { code, message, hint } = await refusal(plane.put('shop', { ifRevision: revision, table }));
  assert.equal(code, 'port-taken');
  assert.match(
    message,
    new RegExp(`port ${port} of web is taken: process ${process.pid} \\(.+\\) listens on it`),
  );
  assert.notEqual(hint, '');
  assert.deepEqual(plane.table('shop'), { owner: 'shop', revision, table: before });
  assert.equal((await ask(`http://${address}:${port + 1}`)).status, 503);
  await assert.rejects(ask(`http://${address}:${port + 2}`), { code: 'ECONNREFUSED' });
});

test('an address this host does not have is refused with a hint', async (t) => {
  const { plane, port } = await ground(t);
  const table = tableAt('web', listenerAt('192.0.2.1', port));
  const { code, hint } = await refusal(plane.put('shop', { ifRevision: 0, table }));
  assert.equal(code, 'proxy-failed');
  assert.match(hint, /not one of this host/);
});

test('an owner may widen the address it listens on', async (t) => {
  const { plane, address, port } = await ground(t);
  const put = (place: string) =>
    plane.put('shop', {
      ifRevision: plane.table('shop').revision,
      table: tableAt('web', listenerAt(place, port)),
    });
  await put(address);
  await put('0.0.0.0');
  assert.equal((await ask(`http://${ownAddress()}:${port}`)).status, 503);
  await put(address);
  assert.equal((await ask(`http://${address}:${port}`)).status, 503);
});

test('a listener that made way for a wider one comes back when the table is refused', async (t) => {
  const { plane, address, port } = await ground(t);
  const foreign = net.createServer();
  t.after(() => foreign.close());
  await new Promise<void>((resolve) => foreign.listen(port + 1, address, resolve));
  const { revision } = await plane.put('shop', {
    ifRevision: 0,
    table: tableAt('web', listenerAt(address, port)),
  });
  const table = tableAt('web', listenerAt('0.0.0.0', port), listenerAt(address, port + 1));
  assert.equal((await refusal(plane.put('shop', { ifRevision: revision, table }))).code, 'port-taken');
  assert.equal((await ask(`http://${address}:${port}`)).status, 503);
  await assert.rejects(ask(`http://${ownAddress()}:${port}`), { code: 'ECONNREFUSED' });
});

test('a table written from an outdated revision is refused, also when the owner was gone in between', async (t) => {
  const { plane, address, port } = await ground(t);
  const table = tableAt('web', listenerAt(address, port));
  const first = await plane.put('shop', { ifRevision: 0, table });
  assert.equal((await refusal(plane.put('shop', { ifRevision: 0, table }))).code, 'route-conflict');
  const gone = await plane.put('shop', { ifRevision: first.revision, table: EMPTY_TABLE });
  assert.deepEqual(gone, { owner: 'shop', revision: 0, table: EMPTY_TABLE });
  const again = await plane.put('shop', { ifRevision: 0, table });
  assert.ok(again.revision > first.revision);
  assert.equal(
    (await refusal(plane.put('shop', { ifRevision: first.revision, table }))).code,
    'route-conflict',
  );
});

test('a dry run says what would happen and changes nothing', async (t) => {
  const { plane, address, port } = await ground(t);
  const table = tableAt('web', listenerAt(address, port));
  const answer = await plane.put('shop', { ifRevision: 0, table, dryRun: true });
  assert.equal(answer.revision, 1);
  assert.equal(plane.table('shop').revision, 0);
  await assert.rejects(ask(`http://${address}:${port}`), { code: 'ECONNREFUSED' });
  const foreign = net.createServer();
  t.after(() => foreign.close());
  await new Promise<void>((resolve) => foreign.listen(port, address, resolve));
  const { code } = await refusal(plane.put('shop', { ifRevision: 0, table, dryRun: true }));
  assert.equal(code, 'port-taken');
});

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-tables-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

async function planeOn(t: TestContext, tablesPath: string): Promise<DataPlane> {
  const plane = new DataPlane({ tablesPath, log: SILENT, ...NO_KERNEL });
  t.after(() => plane.close());
  await plane.start();
  return plane;
}

test('tables come back with their revisions; a port taken meanwhile is had again once it is free', async (t) => {
  const tablesPath = join(await scratch(t), 'tables.json');
  const { address, port } = await ground(t);
  const first = await planeOn(t, tablesPath);
  const table = tableAt('web', listenerAt(address, port));
  const owned = await first.put('shop', { ifRevision: 0, table });
  await first.close();
  const foreign = net.createServer();
  await new Promise<void>((resolve) => foreign.listen(port, address, resolve));
  const second = await planeOn(t, tablesPath);
  assert.deepEqual(second.table('shop'), owned);
  assert.deepEqual(second.status().listeners, []);
  foreign.close();
  await once(foreign, 'close');
  await until('the port is had again', () => second.status().listeners.length === 1);
  assert.equal((await ask(`http://${address}:${port}`)).status, 503);
});

test('a damaged file of tables is put aside and the proxy starts without', async (t) => {
  const folder = await scratch(t);
  await writeFile(join(folder, 'tables.json'), '{"format":1,"owners":[{"own');
  const plane = await planeOn(t, join(folder, 'tables.json'));
  assert.deepEqual(plane.status().owners, []);
  assert.deepEqual(await readdir(folder), ['tables.json.bad']);
});

test('a full disk stops no swap: it holds in memory, is told, and is saved at the next change', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root to mount a small file system');
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-full-'));
  await run('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', folder]);
  t.after(async () => {
    await run('umount', [folder]);
    await rm(folder, { recursive: true });
  });
  const { address, port } = await ground(t);
  const tablesPath = join(folder, 'tables.json');
  const plane = await planeOn(t, tablesPath);
  const table = tableAt('web', listenerAt(address, port));
  const first = await plane.put('shop', { ifRevision: 0, table });
  const saved = await readFile(tablesPath, 'utf8');

  await writeFile(join(folder, 'filler'), Buffer.alloc(16_384)).catch(() => undefined);
  const wider = tableAt('web', listenerAt(address, port), listenerAt(address, port + 1));
  const second = await plane.put('shop', { ifRevision: first.revision, table: wider });
  assert.equal((await ask(`http://${address}:${port + 1}`)).status, 503);
  assert.match(plane.status().persistError ?? '', /the disk is full/);
  assert.equal(await readFile(tablesPath, 'utf8'), saved);
  assert.deepEqual((await readdir(folder)).sort(), ['filler', 'tables.json']);

  await rm(join(folder, 'filler'));
  const third = await plane.put('shop', { ifRevision: second.revision, table: wider });
  assert.equal(plane.status().persistError, undefined);
  assert.deepEqual(JSON.parse(await readFile(tablesPath, 'utf8')).owners, [third]);
});
