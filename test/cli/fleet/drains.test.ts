/** `gantryd drains`: who holds which container, in which proxy process, and how they are let go on purpose. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProxyClient } from '../../../src/proxy/control/client.ts';
import type { HoldReport } from '../../../src/proxy/control/protocol.ts';
import { DEFAULT_LIMITS } from '../../../src/proxy/tables/routes.ts';
import { freePort, tempFolder, until } from '../../ground/harness.ts';
import { cli } from '../../ground/processes.ts';
import { lastJson } from '../cases.ts';

const OLD = 'abcd00112233445566778899';
const NEXT = ['ffff11112222333344445555', 'ffff22223333444455556666'];

test('what holds containers is listed over all proxy processes, and cut', async (t) => {
  // Before the folder goes: hooks run in the order in which they were given.
  let stop: () => Promise<unknown> = async () => undefined;
  t.after(() => stop());
  const stateDir = join(await tempFolder(t), 's');
  const { gantryd } = cli(t, stateDir);
  const says = async (...args: string[]) => {
    const { code, stdout, stderr } = await gantryd(args);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };
  const refuses = async (...args: string[]) => {
    const { code, stderr } = await gantryd(['drains', 'cut', ...args]);
    assert.equal(code, 2, stderr);
    return stderr;
  };
  const holds = async (...args: string[]) =>
    lastJson(await says('drains', '--json', ...args)).holds as HoldReport[];
  assert.match(await says('drains'), /^No proxy runs for /);
  await says('proxy', 'start');
  stop = () => gantryd(['proxy', 'stop', '--force']);

  const backend = createServer((socket) => void socket.on('error', () => {}).pipe(socket));
  await once(backend.listen(0, '127.0.0.2'), 'listening');
  t.after(() => void backend.close());
  const { port: containerPort } = backend.address() as net.AddressInfo;
  const listener = { address: '127.0.0.1', port: await freePort(), kind: 'tcp', containerPort } as const;
  const proxy = new ProxyClient({ stateDir });
  const route = async (...ids: string[]) => {
    const backends = ids.map((id) => ({ id, host: '127.0.0.2' }));
    const { revision } = await proxy.table('shop');
    await proxy.put('shop', {
      ifRevision: revision,
      table: { routes: [{ component: 'web', listeners: [listener], backends }], limits: DEFAULT_LIMITS },
    });
  };
  const connected = async () => {
    const client = net.connect(listener.port, listener.address);
    t.after(() => void client.destroy());
    client.write('hello');
    await once(client, 'data');
    return client;
  };
  const ended = (client: Socket) =>
    until(() => client.readableEnded, { timeoutMs: 10_000, what: 'the client to see the end' });
  const nameOf = ({ localAddress, localPort }: Socket) => `${localAddress}:${localPort}`;

  await route(OLD);
  const first = await connected();
  await says('proxy', 'upgrade');
  const second = await connected();
  assert.match(await says('drains'), /^Nothing holds a container that is to leave\.$/m);
  assert.deepEqual(
    (await holds('--all')).map(({ client, routed }) => [client, routed]),
    [
      [nameOf(first), true],
      [nameOf(second), true],
    ],
  );
  assert.match(await refuses(OLD), /serves/);

  await route(...NEXT);
  const held = await holds();
  assert.deepEqual(
    held.map(({ backend: id, client, kind, bytes }) => [id, client, kind, bytes]),
    [first, second].map((client) => [OLD, nameOf(client), 'tcp', 10]),
  );
  assert.equal(new Set(held.map(({ pid }) => pid)).size, 2);
  const words = await says('drains');
  assert.match(words, /^COMPONENT +CONTAINER ID +CLIENT +KIND +AGE +BYTES +IDLE +PROCESS$/m);
  assert.match(words, new RegExp(`^shop/web +abcd00112233 +${nameOf(first)} +tcp +\\d+ s +10 B `, 'm'));
  assert.deepEqual(await holds('-c', 'api'), []);

  assert.match(await refuses('abc'), /at least 4 characters/);
  assert.match(await refuses('0123'), /nothing for a container "0123"/);
  assert.match(await refuses('ffff'), /"ffff" may be any of shop\/ffff11112222, shop\/ffff22223333/);
  const cut = async (...args: string[]) =>
    lastJson(await says('drains', 'cut', 'abcd', '--json', ...args)).cut;
  assert.equal(await cut('--idle', '3600000'), 0);
  assert.equal(await cut('--project', 'shop', '--client', nameOf(first)), 1);
  await ended(first);
  assert.equal(second.readableEnded, false);
  assert.match(
    await says('drains', 'cut', OLD),
    /^Cut 1 connection of container abcd00112233 \(shop\/web\)$/m,
  );
  await ended(second);
  assert.match(await says('drains', 'cut', 'ffff1', '--force'), /^Cut 0 connections/m);
});
