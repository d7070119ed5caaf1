/** One test for each defect of http-proxy 1.18.1 that src/proxy/http/hardening.ts closes. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { it } from 'node:test';
import { queryObjects } from 'node:v8';
import { ask, ground, heard, onBothPaths as test, until, untilIdle } from '../ground.ts';

test('a client that leaves while it waits closes the connection to the backend', async (t) => {
  const g = await ground(t);
  let asked = false;
  const slow = await g.http('a', () => {
    asked = true;
  });
  await g.route([slow]);
  const client = await g.dial();
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the backend was asked', () => asked);
  assert.equal(g.plane.open, 1);
  client.destroy();
  await until('the backend is let go', () => slow.sockets.size === 0);
  await untilIdle(g.plane);
});

test('a client that leaves in the middle of an answer closes the connection to the backend', async (t) => {
  const g = await ground(t);
  const endless = await g.http('a', (_req, res) => void res.write('first'));
  await g.route([endless]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until('the answer began', () => text().includes('first'));
  client.resetAndDestroy();
  await until('the backend is let go', () => endless.sockets.size === 0);
  await untilIdle(g.plane);
});

test('a backend that dies in the middle of an answer cuts it short for the client too', async (t) => {
  const g = await ground(t);
  const dying = await g.http('a', (req, res) => {
    if (req.url === '/length') res.setHeader('Content-Length', 100);
    res.write('half');
    setImmediate(() => res.socket?.destroy());
  });
  await g.route([dying]);
  await assert.rejects(ask(g.url, { path: '/length' }), { code: 'ECONNRESET' });
  await assert.rejects(ask(g.url, { path: '/chunked' }), { code: 'ECONNRESET' });
  await untilIdle(g.plane);
});

test('an answer that only its end delimits reaches an HTTP/1.0 client as a reset when it is cut', async (t) => {
  const g = await ground(t);
  let cut = () => {};
  const dying = await g.http('a', (_req, res) => {
    cut = () => void res.socket?.resetAndDestroy();
    res.write('half');
  });
  await g.route([dying]);
  const client = await g.dial();
  let code = '';
  client.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? '';
  });
  const { text } = heard(client);
  client.write('GET / HTTP/1.0\r\n\r\n');
  // A reset that comes together with bytes looks to a client in Node like an end.
  await until('the client has what there is', () => text().endsWith('half'));
  cut();
  await until('the client is reset', () => code === 'ECONNRESET');
  await untilIdle(g.plane);
});

test('an answer that only its end delimits is not whole when a reset comes together with its last bytes', async (t) => {
  const g = await ground(t);
  const dying = await g.tcp('a', (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\nhalf');
      socket.resetAndDestroy();
    });
  });
  await g.route([dying]);
  await assert.rejects(ask(g.url), { code: 'ECONNRESET' });
  await untilIdle(g.plane);
});

test('a client that resets its WebSocket before the backend agreed harms nobody', async (t) => {
  const g = await ground(t);
  let asked = 0;
  const hesitating = await g.http(
    'a',
    (_req, res) => void res.end('alive'),
    (server) =>
      server.on('upgrade', (_req, socket) => {
        asked += 1;
        socket.resume().on('end', () => socket.end());
      }),
  );
  await g.route([hesitating]);
  for (const leave of ['resetAndDestroy', 'destroy'] as const) {
    const client = await g.dial();
    const before = asked;
    client.write('GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await until('the backend was asked', () => asked > before);
    client[leave]();
    await until(`the backend is let go after ${leave}`, () => hesitating.sockets.size === 0);
  }
  assert.equal((await ask(g.url)).body, 'alive');
  await untilIdle(g.plane);
});

for (const method of ['DELETE', 'OPTIONS', 'GET', 'POST']) {
  test(`the chunked body of a ${method} never becomes a request of its own`, async (t) => {
    const g = await ground(t);
    const seen: string[] = [];
    const backend = await g.http('a', (req, res) => {
      let body = '';
      req.on('data', (chunk) => {
        body += chunk;
      });
      req.on('end', () => {
        seen.push(`${req.method} ${req.url} ${body}`);
        res.end('ok');
      });
    });
    await g.route([backend]);
    const inner = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
    const client = await g.dial();
    const { text } = heard(client);
    client.write(
      `${method} /outer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
    );
    await until('the answer came', () => text().includes('200 OK'));
    client.write('GET /after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await until('the second answer came', () => text().split('200 OK').length === 3);
    assert.deepEqual(seen, [`${method} /outer ${inner}`, 'GET /after ']);
  });
}

test('a request with both a length and chunks is refused and never sent on', async (t) => {
  const g = await ground(t);
  let asked = 0;
  const backend = await g.http('a', (_req, res) => {
    asked += 1;
    res.end();
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write(
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  );
  await until('it is refused', () => text().startsWith('HTTP/1.1 400'));
  assert.equal(asked, 0);
});

test('a connection of the client stays open over many requests, and so does the one to the backend', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (_req, res) => void res.end('ok'));
  await g.route([backend]);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  for (let i = 0; i < 20; i++) {
    const { headers } = await ask(g.url, { agent });
    assert.equal(headers.connection, 'keep-alive');
  }
  assert.equal(backend.accepted(), 1);
  assert.equal(g.plane.connections, 1);
});

test('a client that wants its connection closed after the answer gets that', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (_req, res) => void res.end('ok'));
  await g.route([backend]);
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await until('it is closed', ended);
  assert.match(text(), /Connection: close/i);
});

test('trailers reach the other side in both directions', async (t) => {
  const g = await ground(t);
  let got: unknown;
  const backend = await g.http('a', (req, res) => {
    req.resume();
    req.on('end', () => {
      got = req.trailers;
      res.setHeader('Trailer', 'X-Sum');
      res.write('body');
      res.addTrailers({ 'X-Sum': '42' });
      res.end();
    });
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write(
    'POST / HTTP/1.1\r\nHost: x\r\nTrailer: X-Up\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Up: 7\r\n\r\n',
  );
  await until('the trailer came', () => /X-Sum: 42\r\n\r\n$/i.test(text()));
  assert.deepEqual({ ...(got as object) }, { 'x-up': '7' });
});

test('a client that waits for 100 Continue is told to go on', async (t) => {
  const g = await ground(t);
  let expected: string | undefined = 'unseen';
  const backend = await g.http('a', (req, res) => {
    expected = req.headers.expect;
    req.pipe(res);
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  await until('it is told to go on', () => text().startsWith('HTTP/1.1 100 Continue'));
  client.write('hello');
  await until('the answer came', () => text().includes('hello'));
  assert.equal(expected, undefined);
});

test('a backend that closes idle connections as requests leave fails none of them', async (t) => {
  const g = await ground(t);
  // Closes each connection as soon as a second request arrives on it, unanswered.
  const seen = new WeakSet<object>();
  let closed = 0;
  const impatient = await g.http('a', (req, res) => {
    if (!seen.has(req.socket)) {
      seen.add(req.socket);
      return void res.end('ok');
    }
    closed += 1;
    req.socket.resetAndDestroy();
  });
  await g.route([impatient]);
  for (let i = 0; i < 20; i++) {
    assert.equal((await ask(g.url)).status, 200);
    assert.equal((await ask(g.url, { method: 'POST', body: 'x' })).status, 200);
    assert.equal((await ask(g.url, { method: 'DELETE' })).status, 200);
  }
  assert.ok(closed > 0, 'no idle connection was ever reused');
  await untilIdle(g.plane);
});

test('who the client is cannot be made up', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (req, res) => void res.end(JSON.stringify(req.headers)));
  await g.route([backend]);
  const { body } = await ask(g.url, {
    headers: {
      Host: 'shop.example',
      'X-Forwarded-For': '1.2.3.4',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Host': 'evil',
      'X-Forwarded-Port': '443',
      Forwarded: 'for=1.2.3.4',
    },
  });
  const headers = JSON.parse(body);
  assert.equal(headers.host, 'shop.example');
  assert.match(headers['x-forwarded-for'], /^127\.\d+\.\d+\.\d+$/);
  assert.equal(headers['x-forwarded-proto'], 'http');
  assert.equal(headers['x-forwarded-host'], 'shop.example');
  assert.equal(headers['x-forwarded-port'], String(g.port));
  assert.equal(headers.forwarded, undefined);
});

test('headers meant for one hop stay on that hop, those that frame the body do not', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (req, res) => {
    let body = '';
    req.on('data', (chunk) => {
      body += chunk;
    });
    req.on('end', () => {
      res.setHeader('Connection', 'X-Hop, keep-alive');
      res.setHeader('X-Hop', '1');
      res.setHeader('X-Stays', '1');
      res.end(JSON.stringify({ headers: req.headers, body }));
    });
  });
  await g.route([backend]);
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.write(
    'POST / HTTP/1.1\r\nHost: x\r\nConnection: close, X-Secret, Content-Length\r\nX-Secret: 1\r\nTE: trailers\r\n' +
      'Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=9\r\nX-Other: 2\r\nContent-Length: 5\r\n\r\nhello',
  );
  await until('the answer came', ended);
  const [head = '', answer = ''] = text().split('\r\n\r\n');
  const { headers, body } = JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1));
  assert.equal(body, 'hello');
  assert.equal(headers['content-length'], '5');
  assert.equal(headers['x-other'], '2');
  for (const name of ['x-secret', 'te', 'proxy-connection', 'keep-alive'])
    assert.equal(headers[name], undefined, name);
  assert.doesNotMatch(head, /X-Hop/i);
  assert.match(head, /X-Stays: 1/i);
});

test('the path reaches the backend as the client wrote it', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (req, res) => void res.end(req.url));
  await g.route([backend]);
  for (const path of ['//a//b', '/a?u=http://x//y', '/%2F..%2f?', '/a/../b', '/?a=1?b=2', "/a'b|c"])
    assert.equal((await ask(g.url, { path })).body, path);
  assert.equal((await ask(g.url, { path: 'http://elsewhere/p//q?r' })).body, '/p//q?r');
  assert.equal((await ask(g.url, { method: 'OPTIONS', path: '*' })).body, '*');
});

it('an open WebSocket keeps neither its request nor its answer in memory', async (t) => {
  const g = await ground(t);
  const agreeing = await g.tcp('a', (socket) => {
    const agreed = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    socket.once('data', () => socket.write(agreed));
  });
  await g.route([agreeing]);
  const joined = async () => {
    const client = await g.dial();
    const { text } = heard(client);
    client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await until('both are joined', () => text().endsWith('\r\n\r\n'));
  };
  await joined(); // what the first one of all leaves behind is no matter
  const count = () => Number(queryObjects(http.IncomingMessage, { format: 'count' }));
  const before = count();
  for (let n = 0; n < 20; n++) await joined();
  assert.equal(g.plane.open, 21);
  const kept = count() - before;
  assert.ok(kept < 5, `${kept} of 40 are kept`);
});
