import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { IDLE_UPSTREAM_MS, IdlePools, RestingSocket } from '../../../src/proxy/http/idle-pool.ts';

const PORT = 80;
/** More than kernels keep for a connection. */
const TOO_MUCH_BYTES = 32 * 1024 * 1024;

/** A connection to a server that reads nothing. */
async function connection(t: TestContext): Promise<Socket> {
  const accepted: Socket[] = [];
  const server = createServer((socket) => void accepted.push(socket.pause())).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  t.after(() => {
    for (const one of [socket, ...accepted]) one.destroy();
    server.close();
  });
  return socket;
}

test('a connection that rests is used again, once', async (t) => {
  const pools = new IdlePools<RestingSocket>();
  const resting = new RestingSocket(await connection(t));
  pools.put(PORT, resting, IDLE_UPSTREAM_MS);
  assert.equal(pools.take(PORT + 1), undefined);
  assert.equal(pools.take(PORT), resting);
  assert.equal(pools.take(PORT), undefined);
});

test('one whose server has not taken all that was sent is not: what comes next would wait behind it', async (t) => {
  const pools = new IdlePools<RestingSocket>();
  const socket = await connection(t);
  socket.write(Buffer.alloc(TOO_MUCH_BYTES));
  assert.ok(socket.writableLength > 0);
  pools.put(PORT, new RestingSocket(socket), IDLE_UPSTREAM_MS);
  assert.equal(pools.take(PORT), undefined);
  assert.equal(socket.destroyed, true);
});
