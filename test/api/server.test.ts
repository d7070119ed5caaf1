import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, get } from 'node:https';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, type TestContext, test } from 'node:test';
import { openDoor } from '../../src/api/auth.ts';
import type { Route } from '../../src/api/route.ts';
import { openApi } from '../../src/api/server.ts';
import { GantryError } from '../../src/errors.ts';
import { makeCertificates } from '../ground/certificates.ts';
import { tempFolder, until } from '../ground/harness.ts';
import { apiGround, type GroundOptions } from './api-ground.ts';

const echo: Route = {
  ...{ method: 'POST', path: '/v1/projects/:project/echo', access: 'deploy', tag: 't', summary: 's' },
  query: { n: { type: 'integer', minimum: 1, description: 'd' }, on: { type: 'boolean', description: 'd' } },
  body: {
    schema: {
      type: 'object',
      required: ['name'],
      additionalProperties: false,
      properties: { name: { type: 'string' }, list: { type: 'array', items: { type: 'integer' } } },
    },
    maxBytes: 1024,
  },
  answer: { status: 200 },
  handle: async ({ params, query, body, caller }) => ({
    status: 200,
    body: { params: { ...params }, query: { ...query }, body, by: caller.by },
  }),
};
const look: Route = {
  ...{ method: 'GET', path: '/v1/look', access: 'read', tag: 't', summary: 's' },
  answer: { status: 200 },
  handle: async () => ({ status: 200, body: { seen: true } }),
};
const failing: Route = {
  ...{ method: 'GET', path: '/v1/failing/:code', access: 'open', tag: 't', summary: 's' },
  answer: { status: 200 },
  handle: async ({ params }) => {
    if (params.code === 'defect') throw new TypeError('something of ours');
    throw new GantryError('superseded', 'somebody was faster', { hint: 'Look again.' });
  },
};

const ground = (t: TestContext, options: GroundOptions = {}) =>
  apiGround(t, { routes: () => [echo, look, failing], ...options });

/** The status line and all that comes until the other end closes, or `enough` is there. */
function raw(port: number, bytes: string | Buffer, enough = /\r\n\r\n[\s\S]*\}/): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    const end = () => {
      socket.destroy();
      resolve(text);
    };
    socket.on('data', (chunk) => {
      text += chunk;
      if (enough.test(text)) end();
    });
    socket.on('close', end);
    socket.on('error', (error) => (text === '' ? reject(error) : end()));
  });
}

describe('the server of the API', () => {
  test('gives a route what was sent, in the types that its schemas say', async (t) => {
    const api = await ground(t);
    const token = await api.token('deploy');
    const { status, body } = await api.ask('POST', '/v1/projects/shop/echo?n=3&on=0', {
      ...{ token, body: { name: 'a', list: [1] } },
    });
    const sent = { params: { project: 'shop' }, query: { n: 3, on: false }, body: { name: 'a', list: [1] } };
    assert.deepEqual([status, body], [200, { ...sent, by: 'token:t1' }]);
  });

  test('tells all that is wrong at once, with pointers', async (t) => {
    const api = await ground(t);
    const token = await api.token('deploy');
    const wrong = await api.ask('POST', '/v1/projects/shop/echo', {
      token,
      body: { list: [1, 'x'], more: 1 },
    });
    assert.equal(wrong.status, 422);
    assert.equal(wrong.headers.get('content-type'), 'application/problem+json');
    assert.deepEqual(wrong.body.problems.map((p: { pointer: string }) => p.pointer).sort(), [
      ...['/list/1', '/more', '/name'],
    ]);
    const query = await api.ask('POST', '/v1/projects/shop/echo?n=0&x=1&on=1&on=1', { token, body: {} });
    assert.deepEqual(
      query.body.problems.map((p: { pointer: string }) => p.pointer),
      ['?n', '?x', '?on'],
    );
  });

  test('asks for a token, and for one that may', async (t) => {
    const api = await ground(t);
    const [read, deploy] = [await api.token('read'), await api.token('deploy', ['shop'])];
    const body = { name: 'a' };
    const statuses = [
      ...['', 'gantryd_x', `${read}x`, read.slice(0, -1), read.replace(/.$/, '-')].map(
        async (token) => (await api.ask('GET', '/v1/look', { token })).status,
      ),
      ...[read, deploy].map(async (token) => (await api.ask('GET', '/v1/look', { token })).status),
      ...[read, deploy].map(async (token) => {
        return (await api.ask('POST', '/v1/projects/shop/echo', { token, body })).status;
      }),
      api.ask('POST', '/v1/projects/other/echo', { token: deploy, body }).then(({ status }) => status),
      api.ask('GET', '/v1/nothing').then(({ status }) => status),
    ];
    assert.deepEqual(await Promise.all(statuses), [401, 401, 401, 401, 401, 200, 200, 403, 200, 403, 401]);
    const none = await api.ask('GET', '/v1/look');
    assert.equal(none.headers.get('www-authenticate'), 'Bearer');
    assert.equal(
      (await api.ask('GET', '/v1/look', { token: 'x' })).headers.get('www-authenticate'),
      'Bearer error="invalid_token"',
    );
  });

  test('keeps a token that was revoked out at once', async (t) => {
    const api = await ground(t);
    const token = await api.token('read');
    assert.equal((await api.ask('GET', '/v1/look', { token })).status, 200);
    const { store, keys } = api.around;
    const [entry] = (await store.list(keys.tokens())).entries;
    await store.commit([], [{ kind: 'delete', key: entry?.key ?? '' }]);
    assert.equal((await api.ask('GET', '/v1/look', { token })).status, 401);
  });

  test('lets those who know it in while etcd is away', async (t) => {
    const api = await ground(t);
    const token = await api.token('read');
    assert.equal((await api.ask('GET', '/v1/look', { token })).status, 200);
    api.around.store.disconnect();
    assert.equal((await api.ask('GET', '/v1/look', { token })).status, 200);
  });

  test('that asks for no token is for programs of its machine, and not for pages in its browser', async (t) => {
    const api = await ground(t, { door: openDoor() });
    const statuses = async (headers: Record<string, string>) => {
      const lines = Object.entries({ host: `127.0.0.1:${api.api.port}`, ...headers }).map(
        ([k, v]) => `${k}: ${v}\r\n`,
      );
      const text = await raw(api.api.port, `GET /v1/look HTTP/1.1\r\n${lines.join('')}\r\n`);
      return Number(text.slice(9, 12));
    };
    assert.equal(await statuses({}), 200);
    assert.equal(await statuses({ host: 'localhost' }), 200);
    assert.equal(await statuses({ host: 'evil.example:7070' }), 403);
    assert.equal(await statuses({ origin: 'http://evil.example' }), 403);
    assert.equal(await statuses({ 'sec-fetch-site': 'cross-site' }), 403);
  });

  const ODD: readonly (readonly [string, string, number])[] = [
    ['GET', '/v1/nothing', 404],
    ['GET', '//v1/look', 404],
    ['GET', '/v1/look/', 404],
    ['GET', '/v1/%6cook', 200],
    ['HEAD', '/v1/look', 200],
    ['DELETE', '/v1/look', 405],
    ['GET', '/v1/../v1/look', 400],
    ['GET', '/v1/%2e%2e/look', 400],
    ['GET', '/v1/a%2fb', 400],
    ['GET', '/v1/a%00b', 400],
    ['GET', '/v1/a%5cb', 400],
    ['GET', '/v1/%zz', 400],
    ['GET', '/v1/%ff', 400],
    ['GET', `/v1/${'a'.repeat(301)}`, 400],
    ['GET', 'http://other/v1/look', 400],
    ['OPTIONS', '*', 400],
    ['TRACE', '/v1/look', 405],
  ];
  test('answers what is no path of its own with what it is', async (t) => {
    const api = await ground(t);
    const token = await api.token('read');
    for (const [method, path, status] of ODD) {
      const head = `${method} ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`;
      const text = await raw(api.api.port, head, /\r\n\r\n/);
      assert.equal(Number(text.slice(9, 12)), status, `${method} ${path}: ${text}`);
      if (status === 405) assert.match(text, /^allow: GET, HEAD\r$/im);
    }
  });

  test('takes JSON and nothing else, no larger and deeper than it should be', async (t) => {
    const api = await ground(t);
    const token = await api.token('deploy');
    const post = async (body: string | Uint8Array, headers = {}) =>
      (await api.ask('POST', '/v1/projects/shop/echo', { token, body, headers })).status;
    const good = '{"name":"a"}';
    assert.equal(await post(good), 200);
    assert.equal(await post(good, { 'content-type': 'application/json; charset=utf-8' }), 200);
    assert.equal(await post(good, { 'content-type': 'text/plain' }), 415);
    assert.equal(await post(good, { 'content-encoding': 'gzip' }), 415);
    assert.equal(await post('{"name":'), 400);
    assert.equal(await post(''), 422);
    assert.equal(await post(new Uint8Array([0x22, 0xff, 0x22])), 400);
    assert.equal(await post('{"__proto__":{"role":"admin"},"name":"a"}'), 400);
    assert.equal(await post('{"constructor":1,"name":"a"}'), 422);
    assert.equal(await post(`${'['.repeat(65)}${']'.repeat(65)}`), 400);
    assert.equal(await post(`"${'['.repeat(100)}"`), 422);
    assert.equal(await post(`{"name":"${'x'.repeat(1024)}"}`), 413);
    assert.equal((await api.ask('GET', '/v1/look', { token })).status, 200);
  });

  test('refuses a body that is too large before it comes, and one that does not come', async (t) => {
    const api = await ground(t, { bounds: { stallMs: 100, totalMs: 300, headersMs: 300 } });
    const token = await api.token('deploy');
    const head = (rest: string) =>
      `POST /v1/projects/shop/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\n${rest}\r\n\r\n`;
    const status = async (text: Promise<string>) => Number((await text).slice(9, 12));
    assert.equal(await status(raw(api.api.port, head('content-length: 1048576000'))), 413);
    const asked = raw(api.api.port, head('expect: 100-continue\r\ncontent-length: 2000'));
    assert.equal(await status(asked), 413);
    const told = raw(api.api.port, head('expect: 100-continue\r\ncontent-length: 20'), /100 Continue/);
    assert.equal(await status(told), 100);
    assert.equal(await status(raw(api.api.port, `${head('content-length: 20')}{"name"`)), 408);
    assert.equal(await status(raw(api.api.port, `${head('transfer-encoding: chunked')}1\r\n{\r\n`)), 408);
    assert.equal(await status(raw(api.api.port, 'GET /v1/look HTTP/1.1\r\nhost: x\r\nx-a: ')), 408);
    assert.equal(
      await status(raw(api.api.port, `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)),
      431,
    );
    const smuggled = head('content-length: 3\r\ntransfer-encoding: chunked');
    assert.equal(await status(raw(api.api.port, `${smuggled}0\r\n\r\n`)), 400);
    assert.equal(await status(raw(api.api.port, 'NONSENSE\r\n\r\n')), 400);
  });

  test('bounds how often somebody asks, and how often he guesses', async (t) => {
    const rate = { perSecond: 1, burst: 5 };
    const api = await ground(t, { bounds: { rate, refusedRate: { perSecond: 1, burst: 2 } } });
    const [one, two] = [await api.token('read'), await api.token('read')];
    const asked = async (token: string) => {
      const { status, headers } = await api.ask('GET', '/v1/look', { token });
      return status === 429 ? `429 after ${headers.get('retry-after')}` : `${status}`;
    };
    const answers = [];
    for (let i = 0; i < 6; i++) answers.push(await asked(one));
    assert.deepEqual(answers, ['200', '200', '200', '200', '200', '429 after 1']);
    assert.equal(await asked(two), '200');
    assert.deepEqual([await asked('x'), await asked('x'), await asked('x')], ['401', '401', '429 after 1']);
    assert.equal(await asked(two), '200');
  });

  test('answers errors as their codes say, and tells of its own defects elsewhere', async (t) => {
    const defects: unknown[] = [];
    const api = await ground(t, { onDefect: (error) => defects.push(error) });
    const known = await api.ask('GET', '/v1/failing/known');
    assert.deepEqual(known.body, {
      ...{ title: 'Conflict', status: 409, detail: 'somebody was faster', code: 'superseded' },
      ...{ retryable: false, hint: 'Look again.' },
    });
    const defect = await api.ask('GET', '/v1/failing/defect');
    assert.deepEqual([defect.status, defect.body.code, defects.length], [500, 'internal', 1]);
  });

  test('cuts whoever does not read his answer, also that something failed', async (t) => {
    const timeouts: unknown[] = [];
    const noting: Route = {
      ...{ ...failing, path: '/v1/noting/:code' },
      handle: (call) => {
        call.response.once('prefinish', () => timeouts.push(call.request.socket.timeout));
        return call.params.code === 'ok' ? Promise.resolve({ status: 200 }) : failing.handle(call);
      },
    };
    const api = await ground(t, { routes: () => [noting] });
    for (const code of ['ok', 'superseded']) await api.ask('GET', `/v1/noting/${code}`);
    assert.deepEqual(timeouts, [60_000, 60_000]);
  });

  test('ends all that was asked on a connection with it, and takes so many at once', async (t) => {
    const [left, waiting] = [new Set<number>(), new Set<number>()];
    const wait: Route = {
      ...{ method: 'POST', path: '/v1/wait', access: 'open', tag: 't', summary: 's' },
      query: { n: { type: 'integer', description: 'd' } },
      ...{ body: { schema: { type: 'object' } }, answer: { status: 200 } },
      handle: async ({ query, signal }) => {
        waiting.add(Number(query.n));
        await once(signal, 'abort');
        left.add(Number(query.n));
        return undefined;
      },
    };
    const { api } = await ground(t, { routes: () => [wait] });
    const head = 'host: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}';
    const asked = Array.from({ length: 20 }, (_, n) => `POST /v1/wait?n=${n} HTTP/1.1\r\n${head}`);
    const socket = connect(api.port, '127.0.0.1', () => socket.write(asked.join('')));
    await until(() => waiting.size === 16, { timeoutMs: 5_000, what: 'the requests' });
    socket.destroy();
    await until(() => left.size === 16, { timeoutMs: 5_000, what: 'each to be told that nobody waits' });
    assert.equal(Math.max(...waiting), 15);
  });

  test('reads on for a moment alone what comes with a request that was answered', async (t) => {
    const old: Route = { ...look, path: '/old', compatible: true, access: 'open' };
    const { api } = await ground(t, { routes: () => [old] });
    const socket = connect(api.port, '127.0.0.1');
    socket.write('GET /old HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n');
    t.after(() => socket.destroy());
    const drip = setInterval(() => socket.write('x'), 20);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', () => {}); // it is cut while it sends
    await new Promise((resolve) => socket.once('close', resolve)).finally(() => clearInterval(drip));
    assert.match(answer, /^HTTP\/1.1 200 OK/);
  });

  test('cuts an upload that hardly moves, but none that its reader holds', async (t) => {
    const seen: string[] = [];
    const upload = (path: string, reads: boolean): Route => ({
      ...{ method: 'PUT', path, access: 'open', tag: 't', summary: 's', body: 'bytes' },
      answer: { status: 204 },
      handle: async ({ request, signal }) => {
        if (reads) request.resume();
        await Promise.race([once(signal, 'abort'), once(release, 'abort')]);
        seen.push(`${path} ${signal.aborted}`);
        signal.throwIfAborted();
        request.resume();
        return { status: 204 };
      },
    });
    const held = new AbortController();
    const release = held.signal;
    const { api } = await ground(t, {
      routes: () => [upload('/slow', true), upload('/held', false)],
      bounds: { upload: { minBytes: 1_000, everyMs: 150 } },
    });
    const head = (path: string) =>
      `PUT ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\nconnection: close\r\n\r\n`;
    const much = connect(api.port, '127.0.0.1', () => much.write(head('/held') + 'x'.repeat(9_000_000)));
    much.on('error', () => {}); // it was answered before it had sent all
    t.after(() => much.destroy());
    const drip = connect(api.port, '127.0.0.1');
    drip.write(head('/slow'));
    const timer = setInterval(() => drip.write('x'.repeat(10)), 20);
    drip.on('error', () => {}); // it is cut while it sends
    let answer = '';
    drip.on('data', (chunk) => {
      answer += chunk;
    });
    await new Promise((resolve) => drip.once('close', resolve)).finally(() => clearInterval(timer));
    assert.match(answer, /^HTTP\/1.1 408 [\s\S]*"code":"too-slow"/);
    assert.deepEqual(seen, ['/slow true']);
    held.abort();
    await until(() => seen.length === 2, { timeoutMs: 5_000, what: 'the other to go on' });
    assert.deepEqual(seen, ['/slow true', '/held false']);
  });

  test('speaks TLS where it has a certificate, and says when that is none', async (t) => {
    const { server, ca } = await makeCertificates(await tempFolder(t), ['127.0.0.1']);
    const [cert, key] = await Promise.all([readFile(server.cert), readFile(server.key)]);
    const api = await ground(t, { tls: { cert, key } });
    const token = await api.token('read');
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}` };
      const options = { host: '127.0.0.1', port: api.api.port, path: '/v1/look', headers };
      get({ ...options, ca: readFileSync(ca) }, resolve).on('error', reject);
    });
    assert.deepEqual([answer.statusCode, await text(answer)], [200, '{"seen":true}']);
    const wrong = openApi({
      ...{ address: '127.0.0.1', port: 0, routes: [], door: openDoor() },
      tls: { cert: Buffer.from('none'), key },
    });
    await assert.rejects(wrong, /the certificate of the API cannot be used/);
  });

  test('shows another certificate to who connects from then on, and cuts nobody for it', async (t) => {
    const [old, young] = await Promise.all([
      makeCertificates(await tempFolder(t), ['127.0.0.1']),
      makeCertificates(await tempFolder(t), ['127.0.0.1']),
    ]);
    const pair = async ({ cert, key }: { readonly cert: string; readonly key: string }) => {
      const [c, k] = await Promise.all([readFile(cert), readFile(key)]);
      return { cert: c, key: k };
    };
    const { api } = await ground(t, { tls: await pair(old.server) });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const answered = (ca: string, through?: Agent) =>
      new Promise<number | undefined>((resolve, reject) => {
        const options = { host: '127.0.0.1', port: api.port, path: '/v1/look', ca: readFileSync(ca) };
        const asked = get({ ...options, ...(through === undefined ? {} : { agent: through }) }, (answer) =>
          answer.resume().once('end', () => resolve(answer.statusCode)),
        );
        asked.on('error', reject);
      });
    assert.equal(await answered(old.ca, agent), 401);
    api.renew(await pair(young.server));
    assert.equal(await answered(young.ca), 401);
    await assert.rejects(answered(old.ca), /certificate|signature/);
    assert.equal(await answered(old.ca, agent), 401, 'on the connection that was there');
    const unfit = { ...(await pair(old.server)), key: await readFile(young.server.key) };
    assert.throws(() => api.renew(unfit), /cannot be used/);
    assert.equal(await answered(young.ca), 401);
  });

  test('holds no connection that never comes to speak TLS, and does not wait for it at its end', async (t) => {
    const { server } = await makeCertificates(await tempFolder(t), ['127.0.0.1']);
    const [cert, key] = await Promise.all([readFile(server.cert), readFile(server.key)]);
    const opened = (headersMs: number) =>
      openApi({
        ...{ address: '127.0.0.1', port: 0, routes: [], door: openDoor(), tls: { cert, key } },
        bounds: { headersMs },
      });
    const [hasty, patient] = await Promise.all([opened(100), opened(60_000)]);
    assert.equal(await raw(hasty.port, ''), '');
    assert.equal(await raw(hasty.port, Buffer.from([0x16, 3, 1, 2, 0])), '', 'the beginning of a handshake');
    const silent = connect(patient.port, '127.0.0.1');
    await once(silent, 'connect');
    await Promise.all([once(silent, 'close'), patient.close(), hasty.close()]);
  });
});
