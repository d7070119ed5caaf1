import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import { ask, ground, heard, openOn, onBothPaths as test, until, untilIdle } from '../ground.ts';

const UPGRADE = 'GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n';
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n';

test('requests are spread over the backends', async (t) => {
  const g = await ground(t);
  const backends = await Promise.all(
    ['a', 'b', 'c'].map((id) => g.http(id, (_req, res) => void res.end(id))),
  );
  await g.route(backends);
  const answers = [];
  for (let i = 0; i < 9; i++) answers.push((await ask(g.url)).body);
  assert.deepEqual(answers.sort(), ['a', 'a', 'a', 'b', 'b', 'b', 'c', 'c', 'c']);
});

test('a backend that has less to do gets the next request', async (t) => {
  const g = await ground(t);
  const hang = await g.http('busy', () => {});
  const busy = await g.http('idle', (_req, res) => void res.end('idle'));
  await g.route([hang]);
  const clients = [await g.dial(), await g.dial()];
  for (const client of clients) client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('both hang', () => openOn(g.plane, 'busy') === 2);
  await g.route([hang, busy]);
  for (let i = 0; i < 6; i++) assert.equal((await ask(g.url)).body, 'idle');
  for (const client of clients) client.destroy();
  await untilIdle(g.plane);
});

test('without a backend the answer is 503 and worth a retry', async (t) => {
  const g = await ground(t);
  await g.route([]);
  for (const method of ['GET', 'POST']) {
    const { status, headers, body } = await ask(g.url, { method, body: method === 'POST' ? 'x' : '' });
    assert.equal(status, 503);
    assert.equal(headers['retry-after'], '1');
    assert.match(body, /No server is ready/);
  }
});

test('a backend that cannot be reached costs no request: another one takes it, body and all', async (t) => {
  const g = await ground(t);
  const alive = await g.http('alive', (req, res) => void req.pipe(res));
  await g.route([g.dead('dead'), alive, g.dead('dead too')]);
  for (let i = 0; i < 6; i++) {
    assert.equal((await ask(g.url)).status, 200);
    assert.equal((await ask(g.url, { method: 'POST', body: `body ${i}` })).body, `body ${i}`);
  }
  await untilIdle(g.plane);
});

test('when no backend can be reached the answer is 502', async (t) => {
  const g = await ground(t);
  await g.route([g.dead('a'), g.dead('b')]);
  assert.equal((await ask(g.url)).status, 502);
  assert.equal((await ask(g.url, { method: 'POST', body: 'x' })).status, 502);
  await untilIdle(g.plane);
});

test('a request that may be repeated is asked of another backend when the first dies on it', async (t) => {
  const g = await ground(t);
  const dying = await g.http('dying', (req) => void req.socket.destroy());
  const alive = await g.http('alive', (_req, res) => void res.end('alive'));
  await g.route([dying, alive]);
  for (let i = 0; i < 6; i++) assert.equal((await ask(g.url)).body, 'alive');
  const statuses = new Set<number>();
  for (let i = 0; i < 6; i++) statuses.add((await ask(g.url, { method: 'POST', body: 'x' })).status);
  assert.deepEqual(statuses, new Set([200, 502]), 'a POST must not be repeated');
  await untilIdle(g.plane);
});

test('a backend that says nothing while the dial lasts is given up after connectTimeoutMs', async (t) => {
  const g = await ground(t);
  const silent = await g.silent('silent');
  const alive = await g.http('alive', (_req, res) => void res.end('alive'));
  await g.route([silent, alive], { limits: { connectTimeoutMs: 100 } });
  for (let i = 0; i < 4; i++) assert.equal((await ask(g.url)).body, 'alive');
});

test('a backend that cannot be dialled delays few requests, and is asked again once it answers', async (t) => {
  const g = await ground(t);
  const [silent, down] = [await g.silent('silent'), g.dead('down')];
  const alive = await g.http('alive', (_req, res) => void res.end('alive'));
  await g.route([silent, down, alive], { limits: { connectTimeoutMs: 1_000 } });
  const began = performance.now();
  for (let i = 0; i < 30; i++) assert.equal((await ask(g.url)).body, 'alive');
  assert.ok(performance.now() - began < 8_000, 'not each request waits for the dial that fails');
  const server = http.createServer((_req, res) => void res.end('up again'));
  t.after(() => void server.close());
  server.listen(g.containerPort, down.host);
  await until('it is asked', async () => (await ask(g.url)).body === 'up again', 20_000);
  await untilIdle(g.plane);
});

test('answers without a body keep their length and the connection', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (req, res) => {
    res.statusCode = Number(req.url?.slice(1));
    if (req.method === 'HEAD') res.setHeader('Content-Length', 5);
    res.end(res.statusCode === 200 ? 'hello' : undefined);
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write('HEAD /200 HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('HEAD', () => text().endsWith('\r\n\r\n'));
  assert.match(text(), /Content-Length: 5/);
  for (const path of ['204', '304']) {
    client.write(`GET /${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until(path, () => text().includes(`HTTP/1.1 ${path}`) && text().endsWith('\r\n\r\n'));
  }
  client.write('GET /200 HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('a body again', () => text().endsWith('hello'));
  assert.doesNotMatch(text(), /Transfer-Encoding/i);
});

test('interim answers pass', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (_req, res) => {
    res.writeProcessing();
    res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    res.end('done');
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the answer came', () => text().includes('done'));
  assert.match(
    text(),
    /^HTTP\/1.1 102 Processing\r\n\r\nHTTP\/1.1 103 Early Hints\r\nLink: <\/style.css>.*\r\n\r\nHTTP\/1.1 200/,
  );
});

test('large headers pass both ways', async (t) => {
  const g = await ground(t);
  const backend = await g.http(
    'a',
    (req, res) => {
      res.setHeader('X-Big', String(req.headers['x-big']));
      res.setHeader('Set-Cookie', ['a=1', 'b=2']);
      res.end();
    },
    (server) => {
      server.on('connection', () => {});
    },
  );
  await g.route([backend]);
  const big = 'x'.repeat(12_000);
  const { headers } = await ask(g.url, { headers: { 'X-Big': big } });
  assert.equal(headers['x-big'], big);
  assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
});

test('requests sent without waiting are each counted once and answered in order', async (t) => {
  const g = await ground(t);
  const waiting: http.ServerResponse[] = [];
  const backend = await g.http('a', (req, res) => {
    if (req.url === '/slow') waiting.push(res);
    else res.end(`[${req.url}]`);
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write(['/slow', '/1', '/2'].map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
  await until('the slow one waits', () => waiting.length === 1);
  assert.ok(openOn(g.plane, 'a') >= 1 && openOn(g.plane, 'a') <= 3);
  waiting[0]?.end('[/slow]');
  await until('all are answered', () => text().includes('[/2]'));
  assert.deepEqual(text().match(/\[.*?\]/g), ['[/slow]', '[/1]', '[/2]']);
  await untilIdle(g.plane);

  client.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the slow one waits', () => waiting.length === 2);
  client.destroy();
  await untilIdle(g.plane);
});

test('server-sent events arrive as they are sent, the head before the first of them', async (t) => {
  const g = await ground(t);
  let events: http.ServerResponse | undefined;
  const backend = await g.http('a', (_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    res.flushHeaders();
    events = res;
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the head came', () => text().includes('text/event-stream'));
  for (const event of ['one', 'two']) {
    events?.write(`data: ${event}\n\n`);
    await until(`${event} came`, () => text().includes(event));
  }
  events?.end();
  await untilIdle(g.plane);
});

test('a 64 MiB upload goes through no faster than the backend reads it, in bounded memory', async (t) => {
  const g = await ground(t);
  const size = 64 * 1024 * 1024;
  let received = 0;
  let upload: http.IncomingMessage | undefined;
  const backend = await g.http('a', (req, res) => {
    upload = req;
    req.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    req.pause();
    req.on('end', () => res.end(String(received)));
  });
  await g.route([backend]);
  const client = http.request(g.url, { method: 'POST', agent: false });
  const answered = once(client, 'response') as Promise<[http.IncomingMessage]>;
  const chunk = Buffer.alloc(256 * 1024);
  let sent = 0;
  const pump = () => {
    while (sent < size) {
      sent += chunk.length;
      if (!client.write(chunk)) return void client.once('drain', pump);
    }
    client.end();
  };
  pump();
  await until('the backend sees the upload', () => upload !== undefined);
  let before = -1;
  await until('the client is held back', () => {
    const same = before === sent;
    before = sent;
    return same;
  });
  assert.ok(sent < size, `${sent} bytes were taken off the client although nobody read them`);
  upload?.resume();
  const [res] = await answered;
  assert.equal(Number((await res.toArray()).join('')), size);
  await untilIdle(g.plane);
});

for (const after of ['keep-alive', 'close'])
  test(`an answer before the whole upload reaches the client and its connection goes on (backend: ${after})`, async (t) => {
    const g = await ground(t);
    const respond = (status: string, text: string) =>
      `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
    const closing = afterHead((socket, head) => {
      socket.end(head.startsWith('GET') ? respond('200 OK', 'next') : respond('413 Too Large', 'too much'));
      socket.resume();
    });
    const keeping = (req: http.IncomingMessage, res: http.ServerResponse) => {
      req.resume();
      res.writeHead(req.method === 'GET' ? 200 : 413, { 'Content-Length': req.method === 'GET' ? 4 : 8 });
      res.end(req.method === 'GET' ? 'next' : 'too much');
    };
    const backend = after === 'close' ? await g.tcp('a', closing) : await g.http('a', keeping);
    await g.route([backend]);
    const client = await g.dial();
    const { text } = heard(client);
    const half = 'x'.repeat(4_000_000);
    client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n${half}`);
    await until('it is refused', () => text().endsWith('too much'));
    client.write(`${half}GET / HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('the next request is answered', () => text().endsWith('next'));
    await untilIdle(g.plane);
  });

test('an answer goes to a slow client in bounded memory', async (t) => {
  const g = await ground(t);
  let stalled = false;
  const backend = await g.http('a', (_req, res) => {
    const chunk = Buffer.alloc(256 * 1024);
    let left = 256;
    const pump = () => {
      while (left-- > 0) {
        if (res.write(chunk)) continue;
        stalled = true;
        return void res.once('drain', pump);
      }
      res.end();
    };
    pump();
  });
  await g.route([backend]);
  const client = await g.dial();
  client.pause();
  client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await until('the backend is held back', () => stalled);
  let bytes = 0;
  client.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  client.resume();
  await once(client, 'end');
  assert.ok(bytes > 64 * 1024 * 1024);
  await untilIdle(g.plane);
});

test('a WebSocket lives until one side closes it, and is counted as upgraded', async (t) => {
  const g = await ground(t);
  const sockets = new WebSocketServer({ noServer: true });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${data}`)));
  const backend = await g.http(
    'a',
    () => {},
    (server) =>
      server.on('upgrade', (req, socket, head) =>
        sockets.handleUpgrade(req, socket, head, (ws) => sockets.emit('connection', ws)),
      ),
  );
  await g.route([backend]);
  const client = new WebSocket(g.url.replace('http', 'ws'));
  await once(client, 'open');
  client.send('hello');
  const [message] = await once(client, 'message');
  assert.equal(String(message), 'echo hello');
  const [report] = g.plane.status().backends;
  assert.deepEqual([report?.open, report?.inFlight, report?.upgraded], [1, 0, 1]);
  assert.equal(report?.peers[0]?.kind, 'upgraded');
  assert.ok((report?.peers[0]?.bytes ?? 0) > 0);
  client.close();
  await once(client, 'close');
  await untilIdle(g.plane);
});

/** A backend that reads the head of a request and goes on by itself. */
function afterHead(act: (socket: Socket, head: string, rest: string) => void): (socket: Socket) => void {
  return (socket) => {
    let text = '';
    const read = (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end === -1) return;
      socket.removeListener('data', read);
      act(socket, text.slice(0, end), text.slice(end + 4));
    };
    socket.on('data', read);
  };
}

test('any protocol may be upgraded to, with bytes sent early and half-closed ends', async (t) => {
  const g = await ground(t);
  let atBackend = '';
  const backend = await g.tcp(
    'a',
    afterHead((socket, head, rest) => {
      assert.match(head, /connection: upgrade/i);
      assert.match(head, /upgrade: chat/i);
      assert.match(head, /x-forwarded-for: 127/i);
      atBackend = rest;
      socket.write(`${SWITCH}early from the backend;`);
      socket.on('data', (chunk) => {
        atBackend += chunk;
      });
      socket.on('end', () => socket.end('last words'));
    }),
  );
  await g.route([backend]);
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.write(`${UPGRADE}early from the client;`);
  await until('the upgrade came', () => text().includes('early from the backend;'));
  client.end('bye');
  await until('the backend had the last word', ended);
  assert.equal(atBackend, 'early from the client;bye');
  assert.match(text(), /^HTTP\/1.1 101 .*last words$/s);
  await untilIdle(g.plane);
});

test('a reset of an upgraded connection is a reset on its other side', async (t) => {
  const g = await ground(t);
  const codes: string[] = [];
  const backend = await g.tcp(
    'a',
    afterHead((socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code ?? ''));
      socket.on('data', () => socket.resetAndDestroy());
      socket.write(`${SWITCH}up`);
    }),
  );
  await g.route([backend]);
  const clients = [await g.dial(), await g.dial()] as const;
  for (const client of clients) {
    client.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code ?? ''));
    const { text } = heard(client);
    client.write(UPGRADE);
    await until('it is joined', () => text().endsWith('up'));
  }
  clients[0].resetAndDestroy();
  await until('the backend is reset', () => codes.length === 1);
  clients[1].write('reset me');
  await until('the client is reset', () => codes.length === 2);
  assert.deepEqual(codes, ['ECONNRESET', 'ECONNRESET']);
  await untilIdle(g.plane);
});

test('a backend that refuses an upgrade is heard, whatever form its answer has', async (t) => {
  const g = await ground(t);
  const big = 'x'.repeat(3_000_000);
  const backend = await g.http('a', (req, res) => {
    if (req.url === '/length') res.setHeader('Content-Length', big.length);
    res.statusCode = 403;
    res.write(big);
    res.end();
  });
  await g.route([backend]);
  for (const path of ['/length', '/chunked']) {
    const client = await g.dial();
    const { text, closed } = heard(client);
    client.on('end', () => client.end());
    client.write(UPGRADE.replace('/up', path));
    await until(`the refusal of ${path} came whole`, closed);
    const head = text().slice(0, text().indexOf('\r\n\r\n'));
    assert.match(head, /^HTTP\/1.1 403 Forbidden\r\n/);
    assert.equal(/Transfer-Encoding: chunked/i.test(head), path === '/chunked');
    assert.equal(text().split('x').length - 1, big.length);
  }
  await untilIdle(g.plane);
});

test('an upgrade that no backend takes is answered', async (t) => {
  const g = await ground(t);
  for (const [backends, status] of [
    [[], '503'],
    [[g.dead('a')], '502'],
  ] as const) {
    await g.route(backends);
    const client = await g.dial();
    const { text, ended } = heard(client);
    client.write(UPGRADE);
    await until('it is answered', ended);
    assert.match(text(), new RegExp(`^HTTP/1.1 ${status} `));
  }
  await untilIdle(g.plane);
});

test('an offer of h2c is not taken up and the request answered, body included', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (req, res) => {
    assert.equal(req.headers.upgrade, undefined);
    assert.equal(req.headers['http2-settings'], undefined);
    void req.pipe(res);
  });
  await g.route([backend]);
  const offer = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n';
  const client = await g.dial();
  const { text } = heard(client);
  client.write(`POST / HTTP/1.1\r\nHost: x\r\n${offer}Content-Length: 5\r\n\r\nhello`);
  await until('it is answered', () => text().includes('hello'));
  client.write(`GET / HTTP/1.1\r\nHost: x\r\n${offer}\r\n`);
  await until('the connection is still good', () => text().split('HTTP/1.1 200 OK').length === 3);
  await untilIdle(g.plane);
});

test('clients that take too long for a request head are let go', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (_req, res) => void res.end('ok'));
  await g.route([backend], { limits: { headersTimeoutMs: 300 } });
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.write('GET / HTTP/1.1\r\n');
  await until('it is let go', ended);
  assert.match(text(), /^HTTP\/1.1 408 /);
});

test('no limit ends an upload or an answer that takes its time', async (t) => {
  const g = await ground(t);
  let upload = '';
  const backend = await g.http('a', (req, res) => {
    req.on('data', (chunk) => {
      upload += chunk;
    });
    req.on('end', () => res.end(upload));
  });
  const limits = { headersTimeoutMs: 200, keepAliveTimeoutMs: 200, connectTimeoutMs: 200 };
  await g.route([backend], { limits });
  const client = await g.dial();
  const { text } = heard(client);
  client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na');
  await until('the first byte came', () => upload === 'a');
  const since = performance.now();
  await until('longer than every limit', () => performance.now() - since > 1_500);
  client.write('b');
  await until('it is answered', () => text().endsWith('ab'));
});

test('a listener takes no more connections than it may, until a swap allows more', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (_req, res) => void res.end('ok'));
  await g.route([backend], { limits: { maxConnections: 2 } });
  const clients = [await g.dial(), await g.dial()];
  await until('both are in', () => g.plane.connections === 2);
  await assert.rejects(ask(g.url), { code: 'ECONNRESET' });
  await g.route([backend], { limits: { maxConnections: 0 } });
  assert.equal((await ask(g.url)).body, 'ok');
  for (const client of clients) client.destroy();
});

test('an idle connection to a backend is kept a few seconds at most', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (req, res) => {
    if (req.url === '/short') res.setHeader('Keep-Alive', 'timeout=1');
    res.end('ok');
  });
  await g.route([backend]);
  await ask(g.url);
  assert.equal(backend.sockets.size, 1);
  await until('it is let go', () => backend.sockets.size === 0);
  await ask(g.url, { path: '/short' });
  await until('it is not kept where the backend would not', () => backend.sockets.size === 0, 1_000);
});
