import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import type { RouteKind } from '../../../src/proxy/tables/routes.ts';
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

const LONG = { hold: { timeoutMs: 60_000, max: 10 } };
const TCP = { kind: 'tcp' } as const;

function waiting(g: Ground): number {
  return g.plane.status().waiting ?? 0;
}

async function untilWaiting(g: Ground, count: number): Promise<void> {
  await until(`${count} wait`, () => waiting(g) === count);
}

function echo(socket: Socket): void {
  socket.pipe(socket);
}

/** A request of this path that is waiting when it resolves. */
async function waitingAsk(g: Ground, path: string, agent?: http.Agent) {
  const before = waiting(g);
  const answer = ask(g.url, { path, ...(agent === undefined ? {} : { agent }) });
  answer.catch(() => {});
  await untilWaiting(g, before + 1);
  return { answer };
}

async function withBody(g: Ground, id: string, seen: string[] = []): Promise<TestBackend> {
  return g.http(id, (req, res) => {
    seen.push(req.url ?? '');
    res.end(`${id} ${req.url}`);
  });
}

test('requests wait while there is no backend and are carried in order of arrival when there is one', async (t) => {
  const g = await ground(t);
  await g.route([], LONG);
  const asked = [];
  for (const path of ['/1', '/2', '/3']) asked.push(await waitingAsk(g, path));
  const seen: string[] = [];
  await g.route([await withBody(g, 'a', seen)], LONG);
  assert.equal(waiting(g), 0);
  const answers = await Promise.all(asked.map(({ answer }) => answer));
  assert.deepEqual(
    answers.map(({ status, body }) => [status, body]),
    [
      [200, 'a /1'],
      [200, 'a /2'],
      [200, 'a /3'],
    ],
  );
  await untilIdle(g.plane);
});

test('a wait has an end: 503, as without it', async (t) => {
  const g = await ground(t);
  await g.route([], { hold: { timeoutMs: 150, max: 10 } });
  const since = performance.now();
  const { status, headers } = await ask(g.url);
  assert.deepEqual([status, headers['retry-after']], [503, '1']);
  assert.ok(performance.now() - since >= 149);
  await g.route([], { hold: { timeoutMs: 0, max: 10 } });
  assert.equal((await ask(g.url)).status, 503);
  assert.equal(waiting(g), 0);
});

test('a table without a backend does not begin the time anew', async (t) => {
  const g = await ground(t);
  const terms = { hold: { timeoutMs: 400, max: 10 } };
  await g.route([], terms);
  const { answer } = await waitingAsk(g, '/');
  let status = 0;
  void answer.then((it) => {
    status = it.status;
  });
  await until('it is refused although tables come', async () => {
    await g.route([], terms);
    return status !== 0;
  });
  assert.equal(status, 503);
});

test('no more wait than may, and there is a place again when one is gone', async (t) => {
  const g = await ground(t);
  const two = { hold: { timeoutMs: 60_000, max: 2 } };
  await g.route([], two);
  const gone = http.get(`${g.url}/gone`).on('error', () => {});
  await untilWaiting(g, 1);
  const stays = await waitingAsk(g, '/stays');
  assert.equal((await ask(g.url)).status, 503);
  gone.destroy();
  await untilWaiting(g, 1);
  const next = await waitingAsk(g, '/next');
  // Fewer may wait: the last to come is refused.
  await g.route([], { hold: { timeoutMs: 60_000, max: 1 } });
  assert.equal((await next.answer).status, 503);
  const seen: string[] = [];
  await g.route([await withBody(g, 'a', seen)], two);
  assert.equal((await stays.answer).body, 'a /stays');
  assert.deepEqual(seen, ['/stays']);
});

test('when nobody may wait any more, who waits is refused at once', async (t) => {
  const g = await ground(t);
  const away: Record<string, () => Promise<unknown>> = {
    'the hold is gone from the route': () => g.route([]),
    'the listener is gone': () =>
      g.plane.put(OWNER, { ifRevision: g.plane.table(OWNER).revision, table: tableOf([]) }),
    'the proxy stops': () => g.plane.retire(),
  };
  for (const [what, change] of Object.entries(away)) {
    await g.route([], LONG);
    const { answer } = await waitingAsk(g, '/');
    await change();
    assert.equal((await answer).status, 503, what);
    assert.equal(waiting(g), 0, what);
  }
});

test('who may wait does so for backends that cannot be reached: until they can, or the table has others', async (t) => {
  const g = await ground(t);
  await g.route([g.dead('a')], LONG);
  const one = await waitingAsk(g, '/1');
  await g.route([await withBody(g, 'b')], LONG);
  assert.equal((await one.answer).body, 'b /1');

  const dead = g.dead('a');
  await g.route([dead], LONG);
  const two = await waitingAsk(g, '/2');
  const server = http.createServer((req, res) => res.end(`a ${req.url}`)).listen(dead.port, dead.host);
  t.after(() => server.close());
  assert.equal((await two.answer).body, 'a /2');

  await g.route([g.dead('c')], { hold: { timeoutMs: 400, max: 10 } });
  assert.equal((await ask(g.url)).status, 503);
  await g.route([g.dead('c')]);
  assert.equal((await ask(g.url)).status, 502, 'where nobody may wait');
  await untilIdle(g.plane);
});

test('a wait that ends while a backend is tried again is told as one that ends in between', async (t) => {
  const g = await ground(t);
  const mute = await g.silent('a');
  // Tried for 300 ms, waits 250, is tried again: the time is over in the middle of that.
  await g.route([mute], { hold: { timeoutMs: 400, max: 10 }, limits: { connectTimeoutMs: 300 } });
  assert.equal((await ask(g.url)).status, 503);
  await untilIdle(g.plane);
});

test('an upload waits unread and arrives whole', async (t) => {
  const g = await ground(t);
  await g.route([], LONG);
  const body = Buffer.alloc(8 * 1024 * 1024, 'x');
  const req = http.request(g.url, { method: 'POST', headers: { 'Content-Length': body.length } });
  const answered = once(req, 'response') as Promise<[http.IncomingMessage]>;
  req.end(body);
  await untilWaiting(g, 1);
  let received = 0;
  const backend = await g.http('a', (request, res) => {
    request.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    request.on('end', () => res.end('thanks'));
  });
  assert.ok((req.socket?.writableLength ?? 0) > 0, 'the proxy has not taken it all');
  await g.route([backend], LONG);
  const [res] = await answered;
  res.resume();
  assert.deepEqual([res.statusCode, received], [200, body.length]);
  await untilIdle(g.plane);
});

test('pipelined requests wait and are answered in their order', async (t) => {
  const g = await ground(t);
  await g.route([], LONG);
  const client = await g.dial();
  const { text } = heard(client);
  const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  client.write(request('/1') + request('/2') + request('/3'));
  await untilWaiting(g, g.httpPath === 'fast' ? 1 : 3);
  const backend = await g.http('a', (req, res) => {
    // The first is answered last.
    if (req.url === '/1') setTimeout(() => res.end('<1>'), 50);
    else res.end(`<${req.url?.slice(1)}>`);
  });
  await g.route([backend], LONG);
  await until('all are answered', () => text().includes('<3>'));
  assert.deepEqual(text().match(/<\d>/g), ['<1>', '<2>', '<3>']);
  client.destroy();
  await untilIdle(g.plane);
});

test('a WebSocket waits for its backend, and may leave', async (t) => {
  const g = await ground(t);
  await g.route([], LONG);
  const leaving = new WebSocket(g.url.replace('http', 'ws')).on('error', () => {});
  await untilWaiting(g, 1);
  leaving.terminate();
  await untilWaiting(g, 0);
  const client = new WebSocket(g.url.replace('http', 'ws'));
  const opened = once(client, 'open');
  await untilWaiting(g, 1);
  await g.route([await socketServer(t, g, 'a')], LONG);
  await opened;
  client.send('hello');
  const [data] = (await once(client, 'message')) as [Buffer];
  assert.equal(String(data), 'hello');
  client.close();
  await untilIdle(g.plane);
});

async function socketServer(t: TestContext, g: Ground, id: string): Promise<TestBackend> {
  const wss = new WebSocketServer({ noServer: true });
  t.after(() => wss.close());
  wss.on('connection', (ws) => ws.on('message', (data) => ws.send(data)));
  return g.http(
    id,
    (_req, res) => res.end(),
    (server) =>
      server.on('upgrade', (req, socket, head) =>
        wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws)),
      ),
  );
}

test('an upgrade that waits loses nothing of what its client said early', async (t) => {
  const g = await ground(t);
  await g.route([], LONG);
  const client = await g.dial();
  const { text } = heard(client);
  client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwith the head, ');
  await untilWaiting(g, 1);
  client.write('while waiting, ');
  const backend = await g.http(
    'a',
    (_req, res) => res.end(),
    (server) =>
      server.on('upgrade', (_req, socket, head) => {
        socket.write('HTTP/1.1 101 Sure\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.write(head);
        socket.pipe(socket);
      }),
  );
  await g.route([backend], LONG);
  client.write('and after');
  await until('all comes back', () => text().endsWith('\r\n\r\nwith the head, while waiting, and after'));
  client.end();
  await untilIdle(g.plane);
});

test('tcp connections wait with what they have said, and are closed when the time is over', async (t) => {
  const g = await ground(t);
  await g.route([], { ...TCP, ...LONG });
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.end('said early, and my side is closed');
  await untilWaiting(g, 1);
  await g.route([await g.tcp('a', echo)], { ...TCP, ...LONG });
  await until('it comes back', ended);
  assert.equal(text(), 'said early, and my side is closed');
  await untilIdle(g.plane);

  await g.route([], { ...TCP, hold: { timeoutMs: 100, max: 10 } });
  const late = await g.dial();
  const { ended: over } = heard(late);
  await until('it is closed', over);
});

test('a tcp client that leaves while it waits is forgotten at once', async (t) => {
  const g = await ground(t);
  await g.route([], { ...TCP, ...LONG });
  for (const leave of ['destroy', 'resetAndDestroy', 'end'] as const) {
    const client = await g.dial();
    client.resume();
    await untilWaiting(g, 1);
    client[leave]();
    await untilWaiting(g, 0);
  }
  await until('no connection is left', () => g.plane.connections === 0);
});

test("a link's clients wait by the terms and in the places of its exporter", async (t) => {
  const g = await ground(t);
  const at = (port: number, kind: RouteKind = 'tcp') => [
    { address: g.address, port, kind, containerPort: g.containerPort },
  ];
  const put = (db: readonly TestBackend[], elsewhere: readonly TestBackend[] = []) =>
    g.plane.put(OWNER, {
      ifRevision: g.plane.table(OWNER).revision,
      table: tableOf([
        { component: 'link:db', listeners: at(g.port + 1), backends: elsewhere, via: 'db' },
        { component: 'db', listeners: at(g.port), backends: db, hold: { timeoutMs: 60_000, max: 2 } },
      ]),
    });
  await put([]);
  const [direct, linked] = [await g.dial(), await dial(g.address, g.port + 1)];
  t.after(() => linked.destroy());
  await untilWaiting(g, 2);
  const third = heard(await g.dial());
  await until('the third is refused', third.ended);

  // Another host offers it: the link's client goes there, the other waits on.
  await put([], [await g.tcp('other', echo)]);
  await until('the link leads', () => openOn(g.plane, 'other') === 1);
  assert.equal(waiting(g), 1);
  await put([await g.tcp('here', echo)]);
  await until('the direct client is led', () => openOn(g.plane, 'here') === 1);
  direct.destroy();
  linked.destroy();
  await untilIdle(g.plane);
});
