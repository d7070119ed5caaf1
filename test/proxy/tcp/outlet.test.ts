import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { tryHandles } from '../../../src/proxy/tcp/handle-trial.ts';
import { Inlet } from '../../../src/proxy/tcp/inlet.ts';
import { Outlet } from '../../../src/proxy/tcp/outlet.ts';
import { Memory } from '../../../src/proxy/tcp/read-memory.ts';
import { until } from '../ground.ts';

const LOOPBACK = '127.0.0.1';

/** Who is far does not read until it is resumed. */
async function pair(t: TestContext): Promise<{ readonly far: Socket; readonly near: Socket }> {
  assert.equal(await tryHandles(), true);
  const server = createServer({ allowHalfOpen: true });
  await once(server.listen(0, LOOPBACK), 'listening');
  const { port } = server.address() as AddressInfo;
  const far = connect({ host: LOOPBACK, port, allowHalfOpen: true });
  const [near] = (await once(server, 'connection')) as [Socket];
  server.close();
  far.on('error', () => {}).pause();
  t.after(() => {
    far.destroy();
    near.destroy();
  });
  return { far, near };
}

function fill(outlet: Outlet): void {
  const memory = new Memory();
  while (outlet.write(memory.bytes, memory.bytes.length, memory));
}

test('it tells that it takes more although a word of others went through the stream meanwhile', async (t) => {
  const { far, near } = await pair(t);
  let drained = 0;
  const outlet = new Outlet(near, () => {
    drained += 1;
  });
  fill(outlet);
  near.write('a word');
  far.resume();
  await until('it is told', () => drained > 0);
  await until('all has gone', () => outlet.isClear);
});

test('a reset is seen by what waits after our end, also where nothing is read', async (t) => {
  const { far, near } = await pair(t);
  const outlet = new Outlet(near, () => {});
  const inlet = new Inlet(near, () => true);
  await new Promise((resolve) => setImmediate(resolve));
  inlet.pause();
  fill(outlet);
  near.end();
  far.resetAndDestroy();
  const [error] = await once(near, 'error');
  assert.equal(error.code, 'ECONNRESET');
});

test('what is written to a connection that is closed is dropped', async (t) => {
  const { near } = await pair(t);
  const outlet = new Outlet(near, () => {});
  assert.equal(outlet.text('heard'), true);
  near.destroy();
  assert.equal(outlet.text('while it closes'), true);
  await once(near, 'close');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(outlet.text('after that'), true);
});
