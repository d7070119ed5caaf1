import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { tryHandles } from '../../../src/proxy/tcp/handle-trial.ts';
import { Inlet } from '../../../src/proxy/tcp/inlet.ts';
import { Memory, MOST_OUT, MOST_TEXT_BYTES } from '../../../src/proxy/tcp/read-memory.ts';
import { until } from '../ground.ts';

const LOOPBACK = '127.0.0.1';
const MORE = 8;
const MUCH = Buffer.alloc(4 * MOST_TEXT_BYTES, 'b');

test('memory for who brings much is bounded, also while all are silent, and comes back when they close', async (t) => {
  assert.equal(await tryHandles(), true);
  const before = Memory.out;
  const ends: Socket[] = [];
  t.after(() => {
    for (const socket of ends) socket.destroy();
  });
  const server = createServer();
  t.after(() => server.close());
  let heard = 0;
  server.on('connection', (near) => {
    ends.push(near);
    new Inlet(near, (bytes, length) => {
      heard += bytes.subarray(0, length).equals(MUCH.subarray(0, length)) ? length : Number.NaN;
      return true;
    });
  });
  await once(server.listen(0, LOOPBACK), 'listening');
  const { port } = server.address() as AddressInfo;
  const clients = Array.from({ length: MOST_OUT + MORE }, () => connect(port, LOOPBACK));
  ends.push(...clients);
  for (const client of clients) client.write(MUCH);
  await until('all is heard', () => heard === clients.length * MUCH.length);
  assert.ok(Memory.out > before && Memory.out <= MOST_OUT, `${Memory.out}`);
  for (const client of clients) client.write(MUCH);
  await until('all is heard again', () => heard === 2 * clients.length * MUCH.length);
  for (const client of clients) client.destroy();
  await until('all of it is back', () => Memory.out === before);
});
