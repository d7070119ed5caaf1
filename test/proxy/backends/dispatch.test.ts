import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { test } from 'node:test';
import { Dispatch, type Entrance } from '../../../src/proxy/backends/dispatch.ts';

const LOOPBACK = '127.0.0.1';

/** One backend, which can be reached. */
function entranceTo(port: number): Entrance {
  const backend = {
    addressFor: () => ({ host: LOOPBACK, port }),
    hold: () => ({ backend, release: () => {} }),
    dialled: () => {},
    forgive: () => {},
  };
  const route = { isEmpty: false, room: undefined, pick: () => backend, limits: { connectTimeoutMs: 0 } };
  return { route, containerPort: port, unserved: {}, reached: () => {} } as unknown as Entrance;
}

// Node's client of http lets go of its connection's errors once an answer is whole, one tick before it is free.
test('a connection that was found may fail while nobody listens to its errors', async (t) => {
  const server = createServer();
  await once(server.listen(0, LOOPBACK), 'listening');
  t.after(() => server.close());
  const entrance = entranceTo((server.address() as AddressInfo).port);
  const hadError = await new Promise<boolean>((resolve, reject) => {
    const found = (socket: Socket) => void socket.once('close', resolve).destroy(new Error('reset'));
    const notFound = () => reject(new Error('there is one'));
    new Dispatch(entrance, 'request', new Socket(), { found, notFound }).next(false);
  });
  assert.equal(hadError, true);
});
