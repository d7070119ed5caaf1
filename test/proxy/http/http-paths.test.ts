import assert from 'node:assert/strict';
import type http from 'node:http';
import { it } from 'node:test';
import {
  ask,
  type Ground,
  ground,
  HTTP_PATHS,
  heard,
  onBothPaths as test,
  until,
  untilIdle,
} from '../ground.ts';

const HOST = 'Host: x\r\n';
const END = '\r\n';

/** What a client may send, ordinary or not; each on a connection of its own. */
const REQUESTS: Readonly<Record<string, string>> = {
  plain: `GET /a?b=c HTTP/1.1\r\n${HOST}Accept: */*\r\nX-Empty:\r\nX-Wide:   a  b  \r\n${END}`,
  'names in any case': `GET / HTTP/1.1\r\nhOsT: x\r\nX-ONE: 1\r\nconnection: KEEP-ALIVE\r\n${END}`,
  'empty lines first': `\r\n\r\nGET / HTTP/1.1\r\n${HOST}${END}`,
  'a length of nothing': `POST / HTTP/1.1\r\n${HOST}Content-Length: 0\r\n${END}`,
  'a body with a length': `PUT /b HTTP/1.1\r\n${HOST}Content-Length: 5\r\n${END}hello`,
  'a body in chunks': `PATCH / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n${END}3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
  'a body of a GET': `GET / HTTP/1.1\r\n${HOST}Content-Length: 2\r\n${END}hi`,
  'another coding of the body': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n${END}1\r\na\r\n0\r\n\r\n`,
  'an unknown coding': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: identity\r\n${END}`,
  'both a length and chunks': `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n${END}0\r\n\r\n`,
  'two lengths': `POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n${END}ab`,
  'a length that is no number': `POST / HTTP/1.1\r\n${HOST}Content-Length: +1\r\n${END}a`,
  'a chunk that is no number': `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n${END}0x1\r\na\r\n0\r\n\r\n`,
  'lines that end with LF alone': `GET / HTTP/1.1\nHost: x\n\n`,
  'a header line that ends with LF alone': `GET / HTTP/1.1\r\nHost: x\nX-A: b\r\n${END}`,
  'a folded line': `GET / HTTP/1.1\r\n${HOST}X-Fold: a\r\n b\r\n${END}`,
  'a space before the colon': `GET / HTTP/1.1\r\n${HOST}X-A : b\r\n${END}`,
  'a name with a space': `GET / HTTP/1.1\r\n${HOST}X A: b\r\n${END}`,
  'a NUL in a value': `GET / HTTP/1.1\r\n${HOST}X-A: b\0c\r\n${END}`,
  'no host': `GET / HTTP/1.1\r\nX-A: b\r\n${END}`,
  'two hosts': `GET / HTTP/1.1\r\n${HOST}Host: y\r\n${END}`,
  'HTTP/1.0': `GET / HTTP/1.0\r\n${HOST}${END}`,
  'HTTP/1.0 that stays': `GET / HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n${END}`,
  'HTTP/3.0': `GET / HTTP/3.0\r\n${HOST}${END}`,
  'an unknown method': `BREW / HTTP/1.1\r\n${HOST}${END}`,
  'a known method that is rare': `PROPFIND / HTTP/1.1\r\n${HOST}${END}`,
  'an absolute target': `GET http://elsewhere/p//q?r HTTP/1.1\r\n${HOST}${END}`,
  'an asterisk': `OPTIONS * HTTP/1.1\r\n${HOST}${END}`,
  'headers of one hop': `GET / HTTP/1.1\r\n${HOST}Connection: close, X-Mine\r\nX-Mine: 1\r\nX-Kept: 1\r\nTE: trailers\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\n${END}`,
  'headers of one hop, named apart': `GET / HTTP/1.1\r\n${HOST}Connection: close\r\nConnection: X-Mine\r\nX-Mine: 1\r\n${END}`,
  'headers that are ours to say': `GET / HTTP/1.1\r\n${HOST}X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: y\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nForwarded: for=9.9.9.9\r\n${END}`,
  'an offer of h2c': `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n${END}`,
  'a wish to be told to go on': `PUT / HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n${END}ok`,
  'HTTP/2 without an offer': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'no HTTP': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'bytes beyond ASCII in the target': `GET /\xfc HTTP/1.1\r\n${HOST}${END}`,
  'bytes beyond ASCII in a value': `GET / HTTP/1.1\r\n${HOST}X-A: \xe4\xf6\r\n${END}`,
};

it('both paths hear the same in what clients send', async (t) => {
  const heardOn = new Map<string, Map<string, unknown>>();
  for (const path of HTTP_PATHS) heardOn.set(path, await outcomes(await ground(t, path)));
  for (const name of Object.keys(REQUESTS))
    assert.deepEqual(heardOn.get('fast')?.get(name), heardOn.get('http-proxy')?.get(name), name);
});

/** Of each request its status, and what the backend saw of it. */
async function outcomes(g: Ground): Promise<Map<string, unknown>> {
  const seen: Record<string, unknown>[] = [];
  const backend = await g.http('a', async (req, res) => {
    const body = Buffer.concat(await req.toArray()).toString();
    const { 'x-forwarded-for': from, 'x-forwarded-port': port, ...headers } = req.headers;
    assert.match(String(from), /^127\./);
    assert.equal(port, String(g.port));
    seen.push({ method: req.method, url: req.url, headers, body, trailers: req.trailers });
    res.end('answer');
  });
  await g.route([backend]);
  const found = new Map<string, unknown>();
  const all = Object.entries(REQUESTS).map(async ([name, request]) => {
    const client = await g.dial();
    const { text, closed } = heard(client);
    client.write(request.replace(HOST, `Host: ${encodeURIComponent(name)}\r\n`), 'latin1');
    await until(
      `${name} is answered`,
      () =>
        text().endsWith('answer') ||
        text().endsWith('0\r\n\r\n') ||
        closed() ||
        /^HTTP\/1.1 4.*\r\n\r\n$/s.test(text()),
    );
    const statuses = text().match(/^HTTP\/1\.1 \d+/gm);
    client.destroy();
    found.set(name, { statuses, closed: /^connection: close/im.test(text()) });
  });
  await Promise.all(all);
  for (const [name, outcome] of found)
    found.set(name, {
      ...(outcome as object),
      seen: seen.filter(
        ({ headers }) => (headers as http.IncomingHttpHeaders).host === encodeURIComponent(name),
      ),
    });
  await untilIdle(g.plane);
  return found;
}

test('a head may come in pieces, few or many', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (req, res) => void res.end(`<${req.headers['x-long']}>`));
  await g.route([backend]);
  for (const pieces of [2, 40]) {
    const client = await g.dial();
    client.setNoDelay(true);
    const { text } = heard(client);
    for (const round of ['first', 'second']) {
      const request = `GET / HTTP/1.1\r\n${HOST}X-Long: ${round}${'x'.repeat(200)}\r\n${END}`;
      const size = Math.ceil(request.length / pieces);
      for (let at = 0; at < request.length; at += size) {
        await new Promise<void>((sent) => client.write(request.slice(at, at + size), () => sent()));
        await new Promise(setImmediate);
      }
      await until(`${round} of ${pieces} pieces`, () => text().includes(`<${round}xxx`));
    }
    client.destroy();
  }
  await untilIdle(g.plane);
});

test('a head has a bound', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (_req, res) => void res.end('ok'));
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  client.write(`GET / HTTP/1.1\r\n${HOST}X-Long: ${'x'.repeat(100_000)}\r\n${END}`);
  await until('it is refused', () => /^HTTP\/1.1 431 /.test(text()));
});

test('who asks for something out of the ordinary goes on as before afterwards', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (req, res) => void req.pipe(res));
  await g.route([backend]);
  const client = await g.dial();
  const { text } = heard(client);
  const plain = (body: string) => `POST / HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n${END}${body}`;
  const odd = `PUT / HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n${END}`;
  client.write(plain('[one]') + plain('[two]') + odd);
  await until('it may go on', () => text().includes('100 Continue'));
  client.write(`<o>${plain('[four]')}`);
  await until('all are answered', () => text().includes('[four]'));
  assert.deepEqual(text().match(/\[\w+\]|<o>/g), ['[one]', '[two]', '<o>', '[four]']);
  client.destroy();
  await untilIdle(g.plane);
});

test('an answer arrives whole in whatever pieces the backend writes it', async (t) => {
  const g = await ground(t);
  const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const answers: Record<string, string> = {
    '/length': `HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n${body.toString('latin1')}`,
    '/chunks': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n${body.toString('latin1', 0, 128)}\r\n80\r\n${body.toString('latin1', 128)}\r\n0\r\nX-Sum: 1\r\n\r\n`,
    '/end': `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${body.toString('latin1')}`,
    '/old': `HTTP/1.0 200 OK\r\n\r\n${body.toString('latin1')}`,
  };
  const backend = await g.tcp('a', (socket) => {
    socket.setNoDelay(true);
    socket.once('data', async (head) => {
      const text = answers[String(head).split(' ')[1] ?? ''] ?? '';
      for (let at = 0; at < text.length; at += 37) {
        socket.write(text.slice(at, at + 37), 'latin1');
        await new Promise(setImmediate);
      }
      socket.end();
    });
  });
  await g.route([backend]);
  for (const path of Object.keys(answers)) {
    const { status, body: got, trailers } = await ask(g.url, { path });
    assert.equal(status, 200);
    assert.equal(Buffer.from(got).equals(Buffer.from(body.toString())), true, path);
    assert.deepEqual({ ...trailers }, path === '/chunks' ? { 'x-sum': '1' } : {});
  }
  await untilIdle(g.plane);
});

test('an answer whose end is that of its connection is cut with it', async (t) => {
  const g = await ground(t);
  const backend = await g.tcp('a', (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\nhalf');
    setTimeout(() => socket.resetAndDestroy(), 20);
  });
  await g.route([backend]);
  await assert.rejects(ask(g.url), { code: 'ECONNRESET' });
  await untilIdle(g.plane);
});

test('what a backend says after its answer reaches nobody', async (t) => {
  const g = await ground(t);
  const late = await g.tcp('a', (socket) => {
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine');
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers');
    });
  });
  await g.route([late]);
  for (let i = 0; i < 10; i++) assert.equal((await ask(g.url)).body, 'mine');
  await untilIdle(g.plane);
});

test('a backend that does not speak HTTP is a bad gateway', async (t) => {
  const g = await ground(t);
  const says = ['SSH-2.0-OpenSSH\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'];
  for (const text of says) {
    await g.route([await g.tcp(`b${text.length}`, (socket) => void socket.end(text))]);
    assert.equal((await ask(g.url)).status, 502);
    assert.equal((await ask(g.url, { method: 'POST', body: 'x' })).status, 502);
  }
  await untilIdle(g.plane);
});

test('a client that sends no further request is let go after keepAliveTimeoutMs', async (t) => {
  const g = await ground(t);
  const backend = await g.http('a', (_req, res) => void res.end('ok'));
  await g.route([backend], { limits: { keepAliveTimeoutMs: 300 } });
  const client = await g.dial();
  const { text, ended } = heard(client);
  client.write(`GET / HTTP/1.1\r\n${HOST}${END}`);
  await until('it is answered', () => text().endsWith('ok'));
  await until('it is let go', ended);
  assert.equal(text().split('HTTP/1.1').length, 2);
});

test('a client that connects and says nothing is let go after headersTimeoutMs', async (t) => {
  const g = await ground(t);
  await g.route([], { limits: { headersTimeoutMs: 300 } });
  const { text, ended } = heard(await g.dial());
  await until('it is let go', ended);
  assert.match(text(), /^HTTP\/1.1 408 /);
});

test('a large answer is the same at the other end', async (t) => {
  const g = await ground(t);
  const big = Buffer.alloc(3_000_000, 'abcdefghij');
  const backend = await g.http('a', (req, res) => {
    if (req.url === '/length') res.setHeader('Content-Length', big.length);
    res.write(big.subarray(0, 1_000_001));
    res.end(big.subarray(1_000_001));
  });
  await g.route([backend]);
  for (const path of ['/length', '/chunked'])
    assert.ok((await ask(g.url, { path })).body === big.toString(), path);
  await untilIdle(g.plane);
});
