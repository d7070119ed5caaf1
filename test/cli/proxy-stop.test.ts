/** A proxy that is told to stop within a time lets what it carries finish, and cuts what is still there then. */
import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { ProxyClient } from '../../src/proxy/control/client.ts';
import { type Cleanup, freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import { type Sandbox, sandbox } from '../ground/sandbox.ts';
import { dial, tableOf } from '../proxy/ground.ts';

const HOST = '127.0.0.1';
const WAIT_MS = 30_000;

test('proxy stop --within', { skip: skipWithoutEngine }, async (t) => {
  const box = await sandbox(t);
  const backend = await silentServer(t);

  const leaving = await connected(t, box, backend);
  const polite = box.start('gantryd', ['proxy', 'stop', '--within', '600']);
  const proxy = new ProxyClient({ stateDir: box.stateDir });
  const isStopping = async () => (await proxy.status()).stopping === true;
  await until(isStopping, { timeoutMs: WAIT_MS, what: 'the proxy to leave' });
  leaving.end();
  const { code, stdout } = await polite.ended;
  assert.deepEqual([code, stdout.startsWith('The proxy has stopped')], [0, true], stdout);

  const staying = await connected(t, box, backend);
  staying.resume();
  assert.equal((await box.gantryd(['proxy', 'stop', '--within', '0'])).code, 0);
  await until(() => staying.readableEnded || staying.destroyed, { timeoutMs: WAIT_MS, what: 'the cut' });
  const { stdout: status } = await box.gantryd(['proxy', 'status']);
  assert.match(status, /^No proxy runs/);
});

/** A client of a proxy that was started for it. */
async function connected(t: Cleanup, box: Sandbox, backend: number): Promise<Socket> {
  assert.equal((await box.gantryd(['proxy', 'start'])).code, 0);
  const port = await freePort();
  const proxy = new ProxyClient({ stateDir: box.stateDir });
  const listeners = [{ address: HOST, port, kind: 'tcp' as const, containerPort: backend }];
  const table = tableOf([{ component: 'echo', listeners, backends: [{ id: 'a', host: HOST }] }]);
  await proxy.put('shop', { ifRevision: (await proxy.table('shop')).revision, table });
  const socket = await dial(HOST, port);
  t.after(() => void socket.destroy());
  const isCarried = async () => (await proxy.status()).backends.some(({ open }) => open === 1);
  await until(isCarried, { timeoutMs: WAIT_MS, what: 'the proxy to carry it' });
  return socket;
}

/** Takes connections, and ends them when the client does. */
async function silentServer(t: Cleanup): Promise<number> {
  const server: Server = createServer((socket) => socket.on('error', () => socket.destroy()).resume());
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  server.unref(); // so that a test without an engine ends
  t.after(() => void server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
