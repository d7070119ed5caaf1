import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import {
  ask,
  type Ground,
  ground,
  heard,
  openOn,
  type TestBackend,
  onBothPaths as test,
  until,
  untilIdle,
} from '../ground.ts';

const TCP = { kind: 'tcp' } as const;
const SILENCE = { leave: { idleTimeoutMs: 300, closeSpreadMs: 0 } };
/** Nothing is silent for so long. */
const LONG_SILENCE = { leave: { idleTimeoutMs: 60_000, closeSpreadMs: 0 } };
const SPREAD = { leave: { idleTimeoutMs: 0, closeSpreadMs: 600 } };
const AT_ONCE = { leave: { idleTimeoutMs: 0, closeSpreadMs: 1 } };

interface SocketBackend extends TestBackend {
  /** Of the connections it has, in order. */
  readonly peers: readonly WebSocket[];
  /** Codes with which its clients closed. */
  readonly codes: readonly number[];
}

async function sockets(t: TestContext, g: Ground, id: string): Promise<SocketBackend> {
  const wss = new WebSocketServer({ noServer: true });
  t.after(() => wss.close());
  const peers: WebSocket[] = [];
  const codes: number[] = [];
  wss.on('connection', (ws) => {
    peers.push(ws);
    ws.on('close', (code) => codes.push(code));
    ws.on('message', (data) => ws.send(data));
  });
  const backend = await g.http(
    id,
    (_req, res) => res.end(id),
    (server) =>
      server.on('upgrade', (req, socket, head) =>
        wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws)),
      ),
  );
  return { ...backend, peers, codes };
}

async function connected(g: Ground): Promise<WebSocket> {
  const client = new WebSocket(g.url.replace('http', 'ws'));
  await once(client, 'open');
  return client;
}

/** Resolves with the code when the client is told to close. */
function closing(client: WebSocket): Promise<number> {
  return new Promise((resolve) => client.once('close', resolve));
}

/** A backend whose responses are streams of events; `write` writes to all of them. */
async function events(g: Ground, id: string) {
  const streams: ServerResponse[] = [];
  const backend = await g.http(id, (req, res) => {
    if (req.url === '/short') return void res.end();
    res.writeHead(200, { 'Content-Type': req.url === '/plain' ? 'text/plain' : 'text/event-stream' });
    res.write(`data: hello from ${id}\n\n`);
    streams.push(res);
  });
  return { backend, streams, write: (text: string) => streams.map((stream) => stream.write(text)) };
}

function stream(g: Ground, path: string, agent?: http.Agent) {
  let text = '';
  let end = '';
  const req = http.get(g.url + path, { agent: agent ?? false });
  req.on('response', (res) => {
    res.setEncoding('utf8');
    res.on('data', (chunk: string) => {
      text += chunk;
    });
    res.on('end', () => {
      end ||= 'whole';
    });
    res.on('error', () => {
      end ||= 'cut';
    });
  });
  req.on('error', () => {
    end ||= 'cut';
  });
  return { text: () => text, end: () => end, destroy: () => req.destroy() };
}

test('a silent tcp connection of a backend that left is ended on both sides, one that speaks stays', async (t) => {
  const g = await ground(t);
  let backendEnds = 0;
  const failures: string[] = [];
  const old = await g.tcp('old', (socket: Socket) => {
    socket.on('data', (data) => socket.write(data));
    socket.on('error', (error) => failures.push(error.message));
    socket.on('end', () => {
      backendEnds += 1;
      socket.end();
    });
  });
  const next = await g.tcp('next', (socket) => void socket.resume());
  await g.route([old], { ...TCP, ...SILENCE });
  const [silent, speaks] = [await g.dial(), await g.dial()];
  const errors: string[] = [];
  silent.on('error', (error) => errors.push(error.message));
  const said = heard(speaks);
  const { ended } = heard(silent);
  silent.on('end', () => silent.end());
  silent.write('hello');
  await until('both are led', () => openOn(g.plane, 'old') === 2);
  const talk = setInterval(() => speaks.write('.'), 50);
  t.after(() => clearInterval(talk));
  await g.route([next], { ...TCP, ...SILENCE });
  await until('the silent one is ended', ended);
  await until('its backend saw it', () => backendEnds === 1 && openOn(g.plane, 'old') === 1);
  assert.deepEqual([errors, failures], [[], []]);
  assert.equal(said.ended(), false);
  clearInterval(talk);
  await until('the other one is ended when it is silent', said.ended);
  speaks.end();
  await untilIdle(g.plane);
});

test('without terms, and while it serves, silence ends nothing', async (t) => {
  const g = await ground(t);
  const quiet = (socket: Socket) => void socket.resume();
  const [plain, serving] = [await g.tcp('plain', quiet), await g.tcp('serving', quiet)];
  await g.route([plain], TCP);
  const unrouted = heard(await g.dial());
  await until('it is led', () => openOn(g.plane, 'plain') === 1);
  await g.route([serving], { ...TCP, leave: { idleTimeoutMs: 1, closeSpreadMs: 1 } });
  const routed = heard(await g.dial());
  await until('it is led', () => openOn(g.plane, 'serving') === 1);
  const since = performance.now();
  await until('silence was looked for twice', () => performance.now() - since > 2_000);
  assert.deepEqual([unrouted.ended(), routed.ended()], [false, false]);
});

test('a request that nobody answers is let go with its silence', async (t) => {
  const g = await ground(t);
  const old = await g.http('old', (req, res) => {
    if (req.url === '/begun') res.write('half');
  });
  const next = await g.http('next', (_req, res) => res.end('next'));
  await g.route([old], SILENCE);
  const unanswered = ask(g.url, { path: '/unanswered' });
  const begun = stream(g, '/begun');
  await until('both are there', () => openOn(g.plane, 'old') === 2 && begun.text() === 'half');
  await g.route([next], SILENCE);
  assert.equal((await unanswered).status, 504);
  await until('half an answer is cut', () => begun.end() === 'cut');
  await untilIdle(g.plane);
});

test('WebSockets are asked to leave with 1012, one after the other, the oldest first', async (t) => {
  const g = await ground(t);
  const [old, next] = [await sockets(t, g, 'old'), await sockets(t, g, 'next')];
  await g.route([old], SPREAD);
  const clients = [];
  for (let i = 0; i < 6; i++) clients.push(await connected(g));
  const order: number[] = [];
  const at: number[] = [];
  const codes = clients.map((client, i) =>
    closing(client).then((code) => {
      order.push(i);
      at.push(performance.now());
      return code;
    }),
  );
  const since = performance.now();
  await g.route([next], SPREAD);
  assert.deepEqual(
    await Promise.all(codes),
    clients.map(() => 1012),
  );
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
  // Six over 600 ms: the last after 500, and each a while after the one before.
  assert.ok((at[5] ?? 0) - since >= 490, `the last after ${(at[5] ?? 0) - since} ms`);
  assert.ok((at[3] ?? 0) - since >= 290);
  await untilIdle(g.plane);
  await until('the backend had their answers', () => old.codes.length === 6);
  assert.deepEqual(new Set(old.codes), new Set([1012]));
});

test('no frame is torn, and nothing comes after the close', async (t) => {
  const g = await ground(t);
  const [old, next] = [await sockets(t, g, 'old'), await sockets(t, g, 'next')];
  await g.route([old], AT_ONCE);
  const clients = [];
  for (let i = 0; i < 8; i++) clients.push(await connected(g));
  const received = clients.map(() => [] as Buffer[]);
  const errors: string[] = [];
  clients.forEach((client, i) => {
    client.on('message', (data: Buffer) => received[i]?.push(data));
    client.on('error', (error) => errors.push(error.message));
  });
  // Each sends without end, in messages of many sizes and fragments.
  const sizes = [0, 1, 125, 126, 4_000, 65_535, 65_536, 300_000];
  let sent = 0;
  const send = setInterval(() => {
    for (const peer of old.peers) {
      if (peer.readyState !== WebSocket.OPEN) continue;
      const size = sizes[sent++ % sizes.length] ?? 0;
      peer.send(Buffer.alloc(size, size % 251), { fin: sent % 3 !== 1 });
    }
  }, 1);
  t.after(() => clearInterval(send));
  await until('all receive', () => received.every((messages) => messages.length > 5));
  const codes = Promise.all(clients.map(closing));
  await g.route([next], AT_ONCE);
  assert.deepEqual(
    await codes,
    clients.map(() => 1012),
  );
  clearInterval(send);
  assert.deepEqual(errors, []);
  await untilIdle(g.plane);
});

test('who is not asked yet when its backend serves again stays', async (t) => {
  const g = await ground(t);
  const [old, next] = [await sockets(t, g, 'old'), await sockets(t, g, 'next')];
  const slow = { leave: { idleTimeoutMs: 0, closeSpreadMs: 60_000 } };
  await g.route([old], slow);
  const [first, second] = [await connected(g), await connected(g)];
  const asked = closing(first);
  await g.route([next], slow);
  assert.equal(await asked, 1012);
  await g.route([old], AT_ONCE);
  second.send('still here');
  assert.equal(String((await once(second, 'message'))[0]), 'still here');
  const later = closing(second);
  await g.route([next], AT_ONCE);
  assert.equal(await later, 1012);
  await untilIdle(g.plane);
});

test('a WebSocket that came after its backend left the table is asked, too; a raw upgrade is not', async (t) => {
  const g = await ground(t);
  let accept = () => {};
  const old = await g.http(
    'old',
    (_req, res) => res.end(),
    (server) =>
      server.on('upgrade', (_req, socket) => {
        accept = () => socket.write('HTTP/1.1 101 Sure\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
        socket.on('data', (data: Buffer) => socket.write(data.subarray(0, 0)));
        socket.on('end', () => socket.end());
      }),
  );
  const next = await g.http('next', (_req, res) => res.end('next'));
  for (const [protocol, close] of [
    ['websocket', '\x88\x02\x03\xf4'],
    ['shout', ''],
  ] as const) {
    await g.route([old], AT_ONCE);
    const client = await g.dial();
    const { text, ended } = heard(client);
    client.write(`GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`);
    await until('the backend is asked', () => openOn(g.plane, 'old') === 1);
    await until('it has the request', () => old.sockets.size > 0);
    await g.route([next], AT_ONCE);
    accept();
    await until('it is joined', () => text().endsWith(`\r\n\r\n${close}`));
    client.end();
    await until('the end goes through', ended);
    accept = () => {};
    await untilIdle(g.plane);
  }
});

test('a stream of events ends after a whole event, and the next one is served by who serves', async (t) => {
  const g = await ground(t);
  const [old, next] = [await events(g, 'old'), await events(g, 'next')];
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  await g.route([old.backend], AT_ONCE);
  const idle = stream(g, '/idle', agent);
  await until('it streams', () => idle.text() !== '');
  await g.route([next.backend], AT_ONCE);
  await until('it ends', () => idle.end() !== '');
  assert.deepEqual([idle.end(), idle.text()], ['whole', 'data: hello from old\n\n']);
  const again = stream(g, '/again', agent);
  await until('the next streams', () => again.text() === 'data: hello from next\n\n');
  again.destroy();

  await g.route([old.backend], AT_ONCE);
  const busy = stream(g, '/busy');
  await until('it streams', () => busy.text() !== '');
  old.write('data: half of ');
  await until('half an event is there', () => busy.text().endsWith('half of '));
  await g.route([next.backend], AT_ONCE);
  const later = await ask(g.url, { path: '/short' });
  assert.deepEqual([later.status, busy.end()], [200, '']);
  old.write('it\n\ndata: what nobody gets\n\n');
  await until('it ends', () => busy.end() !== '');
  assert.deepEqual([busy.end(), busy.text()], ['whole', 'data: hello from old\n\ndata: half of it\n\n']);
  await until('the old is free', () => openOn(g.plane, 'old') === 0);
});

test('a response that begins after its backend left says that the connection ends', async (t) => {
  const g = await ground(t);
  const waiting: ServerResponse[] = [];
  const old = await g.http('old', (_req, res) => void waiting.push(res));
  const next = await g.http('next', (_req, res) => res.end('next'));
  for (const [terms, connection] of [
    [AT_ONCE, 'close'],
    [LONG_SILENCE, 'keep-alive'],
  ] as const) {
    await g.route([old], terms);
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    const answer = ask(g.url, { agent });
    await until('it is asked', () => waiting.length === 1);
    await g.route([next], terms);
    waiting.pop()?.end('late');
    const { body, headers } = await answer;
    assert.deepEqual([body, headers.connection], ['late', connection]);
  }
});

test('other responses are never cut short', async (t) => {
  const g = await ground(t);
  const [old, next] = [await events(g, 'old'), await events(g, 'next')];
  await g.route([old.backend], AT_ONCE);
  const [plain, asked] = [stream(g, '/plain'), stream(g, '/events')];
  await until('both stream', () => plain.text() !== '' && asked.text() !== '');
  await g.route([next.backend], AT_ONCE);
  await until('the events end', () => asked.end() === 'whole');
  for (const res of old.streams) res.end('the end');
  await until('the other ends by itself', () => plain.end() === 'whole');
  assert.ok(plain.text().endsWith('the end'));
  await untilIdle(g.plane);
});

test('a WebSocket that never answers the close is left to its silence', async (t) => {
  const g = await ground(t);
  const [old, next] = [await sockets(t, g, 'old'), await sockets(t, g, 'next')];
  const both = { leave: { idleTimeoutMs: 300, closeSpreadMs: 1 } };
  await g.route([old], both);
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.write(
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await until('it is joined', () => text().includes('101'));
  await g.route([next], both);
  await until('it is asked', () => text().endsWith('\x88\x02\x03\xf4'));
  await until('it is ended', ended);
  client.end();
  await untilIdle(g.plane);
});
