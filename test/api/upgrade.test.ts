import assert from 'node:assert/strict';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { openDoor } from '../../src/api/auth.ts';
import type { Route } from '../../src/api/route.ts';
import { GantryError } from '../../src/errors.ts';
import { openMetrics } from '../../src/metrics/open.ts';
import { until } from '../ground/harness.ts';
import { seriesSum } from '../metrics/exposition.ts';
import { apiGround, ask } from './api-ground.ts';

const SCHEMA = { type: 'object', properties: { say: { type: 'string' } } };

/** Echoes what it is sent in capitals; a route for JSON beside it, and one that does not answer. */
function routes(): readonly Route[] {
  const of = { access: 'admin', tag: 'test', summary: '' } as const;
  return [
    {
      ...{ ...of, method: 'GET', path: '/echo/:who', upgrade: 'echo', answer: { status: 101 } },
      handle: async ({ upgrade, params }) => {
        if (params.who === 'nobody') throw new GantryError('component-unknown', 'nobody is not here');
        const socket = upgrade?.();
        socket?.on('data', (bytes: Buffer) => socket.write(bytes.toString().toUpperCase()));
        socket?.once('end', () => socket.end());
        return undefined;
      },
    },
    {
      ...{ ...of, method: 'POST', path: '/say', body: { schema: SCHEMA }, answer: { status: 200 } },
      handle: async ({ body }) => ({ status: 200, body }),
    },
    {
      ...{ ...of, method: 'GET', path: '/never', answer: { status: 204 } },
      handle: ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject)),
    },
  ];
}

function ground(t: TestContext) {
  return apiGround(t, { door: openDoor(), routes });
}

function offer(url: string, protocol: string, method = 'GET', body?: string): ClientRequest {
  const headers = {
    ...{ connection: 'Upgrade, HTTP2-Settings', upgrade: protocol, 'http2-settings': 'AAMAAABk' },
    ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
  };
  return request(url, { method, headers, agent: false }).end(body);
}

function upgraded(made: ClientRequest): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    made.once('error', reject);
    made.once('upgrade', (_: IncomingMessage, socket: Duplex) => resolve(socket));
    made.once('response', ({ statusCode }) => reject(new Error(`answered ${statusCode}`)));
  });
}

async function answered(made: ClientRequest) {
  const [answer] = await new Promise<[IncomingMessage]>((resolve, reject) => {
    made.once('error', reject);
    made.once('response', (response) => resolve([response]));
  });
  let text = '';
  for await (const part of answer.setEncoding('utf8')) text += part;
  return { status: answer.statusCode, body: JSON.parse(text) };
}

describe('a connection that goes over to another protocol', () => {
  test("is the route's from then on, with what was sent at once", async (t) => {
    const { url } = await ground(t);
    const socket = await upgraded(offer(`${url}/echo/me`, 'Echo'));
    socket.end('hello');
    let text = '';
    for await (const part of socket.setEncoding('utf8')) text += part;
    assert.equal(text, 'HELLO');
  });

  test('counts as a request, and as a stream takes no time', async (t) => {
    const metrics = await openMetrics();
    const { url } = await apiGround(t, { door: openDoor(), routes, metrics });
    const socket = await upgraded(offer(`${url}/echo/me`, 'echo'));
    socket.resume().end();
    const labels = { route: '/echo/:who', method: 'GET' };
    await until(
      async () =>
        seriesSum(await metrics.text(), 'gantryd_api_requests_total', { ...labels, status: '1xx' }) === 1,
      { timeoutMs: 5_000, what: 'the request to be counted' },
    );
    assert.equal(seriesSum(await metrics.text(), 'gantryd_api_request_duration_seconds_count', labels), 0);
  });

  test('is refused like any request: by what the route throws, by who may not, where nothing is', async (t) => {
    const { url } = await ground(t);
    const nobody = await answered(offer(`${url}/echo/nobody`, 'echo'));
    assert.deepEqual([nobody.status, nobody.body.code], [404, 'component-unknown']);
    const nowhere = await answered(offer(`${url}/nowhere`, 'echo'));
    assert.equal(nowhere.status, 404);
    const closed = await apiGround(t, { routes });
    const stranger = await answered(offer(`${closed.url}/echo/me`, 'echo'));
    assert.deepEqual([stranger.status, stranger.body.code], [401, 'no-token']);
  });

  test('has to be offered', async (t) => {
    const { url } = await ground(t);
    const plain = await ask(`${url}/echo/me`, 'GET');
    assert.deepEqual([plain.status, plain.headers.get('upgrade')], [400, 'echo']);
    const other = await answered(offer(`${url}/echo/me`, 'h2c'));
    assert.deepEqual([other.status, other.body.code], [400, 'usage']);
  });

  test('is cut when the server closes', async (t) => {
    const { url, api } = await ground(t);
    const socket = await upgraded(offer(`${url}/echo/me`, 'echo'));
    const closed = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve));
    await api.close();
    await closed;
  });

  test('that nobody here speaks is not waited for: the request is answered as if it had not been offered', async (t) => {
    const { url } = await ground(t);
    const answer = await answered(offer(`${url}/say`, 'h2c', 'POST', '{"say": "e"}'));
    assert.deepEqual([answer.status, answer.body], [200, { say: 'e' }]);
  });

  for (const protocol of ['echo', 'h2c'])
    test(`to ${protocol}, offered behind a request that has no answer yet, is cut, and others are served`, async (t) => {
      const { url } = await ground(t);
      const { port } = new URL(url);
      const socket = connect(Number(port), '127.0.0.1');
      const closed = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve));
      const head = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}\r\n`;
      socket.write(head('/never') + head('/echo/me', `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`));
      await closed;
      assert.equal((await ask(`${url}/echo/me`, 'GET')).status, 400);
    });
});
