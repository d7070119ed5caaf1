/** The load must see nothing wrong on a healthy application, and must see every failure there is. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import WebSocket from 'ws';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { type Cleanup, freePort, until } from './harness.ts';
import { startLoad } from './load.ts';
import { type Running, start } from './processes.ts';

const ANSWERS_MS = 20_000;

test('all clients are answered by a healthy application, each answer with its version', async (t) => {
  const app = await startApp(t, 'v7');
  const load = await startLoad(t, { ...app.places, slowMs: 200 });
  await until(() => load.report().ok > 300, { timeoutMs: ANSWERS_MS, what: '300 answers' });
  const report = await load.stop();
  assert.deepEqual(report.errors, []);
  assert.equal(report.failed, 0);
  assert.equal(report.cut, 0);
  assert.equal(report.sent, report.ok);
  for (const tally of report.tallies)
    assert.deepEqual([tally.name, ...tally.versions.keys()], [tally.name, 'v7']);
});

test('an application that ends costs every client a failure and cuts every long connection', async (t) => {
  const app = await startApp(t, 'v1');
  const load = await startLoad(t, { ...app.places, slowMs: 200 });
  app.process.signal('SIGTERM');
  const everyOne = () => load.report().tallies.every((tally) => tally.failed > 0);
  await until(everyOne, { timeoutMs: ANSWERS_MS, what: 'every client to fail' });
  assert.equal((await load.stop()).cut, 3);
});

test('the WebSocket echo bears fragments, pings, long messages and binary', async (t) => {
  const app = await startApp(t, 'v1');
  const socket = new WebSocket(`ws://127.0.0.1:${app.places.http.port}/ws`);
  t.after(() => socket.terminate());
  const got: unknown[] = [];
  socket.on('message', (data: Buffer, binary) => got.push(binary ? data : data.toString()));
  socket.on('pong', (data) => got.push(`pong ${data}`));
  await until(() => got.length === 1, { timeoutMs: ANSWERS_MS, what: 'the hello' });
  socket.send('frag', { fin: false });
  socket.ping('?');
  socket.send('ment', { fin: true });
  socket.send(Buffer.alloc(70_000, 1));
  await until(() => got.length === 4, { timeoutMs: ANSWERS_MS, what: 'three answers' });
  assert.deepEqual(got.slice(1), ['pong ?', 'fragment', Buffer.alloc(70_000, 1)]);
});

async function startApp(t: Cleanup, version: string) {
  const [http, tcp] = [await freePort(), await freePort()];
  const env = { VERSION: version, PORT: String(http), TCP_PORT: String(tcp) };
  const running: Running = start(t, process.execPath, [join(PACKAGE_ROOT, 'examples/app/server.mjs')], {
    env,
  });
  await running.says('echoes lines', ANSWERS_MS);
  await running.says('listens on', ANSWERS_MS);
  const at = (port: number) => ({ host: '127.0.0.1', port });
  return { process: running, places: { http: at(http), tcp: at(tcp) } };
}
