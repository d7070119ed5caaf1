import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { mock, test } from 'node:test';
import { setImmediate as connectedThere } from 'node:timers/promises';
import { get } from './get.ts';
import type { Cleanup } from './harness.ts';
import type { Place } from './requests.ts';

const SILENT_MS = 500;
/** Beyond any of these tests. */
const LONG_MS = 60_000;

/** Which types for Node leave out. */
declare const WebAssembly: { compile(code: Uint8Array): Promise<unknown> };

/** Comes first: what it is about is the first request of a process, whose `fetch` is not ready before the reset. */
test('a connection that is reset is told at once, also the first of a process', async (t) => {
  const { compile } = WebAssembly;
  const reset = new AbortController();
  const wasReset = once(reset.signal, 'abort');
  const late = mock.method(WebAssembly, 'compile', async (code: Uint8Array) => {
    await wasReset;
    return compile(code);
  });
  t.after(() => late.mock.restore());
  const place = await serve(t, async (socket) => {
    await connectedThere();
    socket.resetAndDestroy();
    await connectedThere();
    reset.abort();
  });
  const got = await get(place, '/', LONG_MS);
  assert.equal(got.kind, 'failed');
  assert.match(got.why, /ECONNRESET/);
});

test('a port without a listener is told at once', async (t) => {
  const place = await serve(t, () => assert.fail('nobody listens'));
  await place.close();
  const got = await get(place, '/', LONG_MS);
  assert.equal(got.kind, 'failed');
  assert.match(got.why, /ECONNREFUSED/);
});

test('whatever is answered whole is an answer', async (t) => {
  const place = await serve(t, (socket) => {
    socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nlater');
  });
  assert.deepEqual(await get(place, '/', LONG_MS), { kind: 'answered', status: 503, text: 'later' });
});

test('half an answer is none', async (t) => {
  const place = await serve(t, (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nla'));
  assert.equal((await get(place, '/', LONG_MS)).kind, 'failed');
});

test('who says nothing is told with how far it came', async (t) => {
  const place = await serve(t, () => {});
  const got = await get(place, '/', SILENT_MS);
  assert.equal(got.kind, 'silent');
  assert.match(got.why, /^connected from port \d+, but not answered for 500 ms$/);
});

interface Served extends Place {
  close(): Promise<void>;
}

async function serve(t: Cleanup, each: (socket: Socket) => void): Promise<Served> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    each(socket.resume());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    const closed = once(server, 'close');
    server.close();
    await closed;
  };
  t.after(() => {
    for (const socket of open) socket.destroy();
    if (server.listening) server.close();
  });
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port, close };
}
