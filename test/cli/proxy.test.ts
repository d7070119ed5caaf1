/** `gantryd proxy`: brings the proxy up, replaces it, shows what the older one still carries, and ends both. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import net, { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProxyClient } from '../../src/proxy/control/client.ts';
import { PROTOCOL_VERSION, PROXY_SOCKET } from '../../src/proxy/control/protocol.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';
import { VERSION } from '../../src/version.ts';
import { freePort, tempFolder, until } from '../ground/harness.ts';
import { cli } from '../ground/processes.ts';
import { lastJson } from './cases.ts';

test('the proxy is started, upgraded, shown with its older generation, and stopped', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'g-'));
  const stateDir = join(folder, 's');
  const { gantryd } = cli(t, stateDir);
  t.after(async () => {
    await gantryd(['proxy', 'stop', '--force']);
    await rm(folder, { recursive: true, maxRetries: 5 });
  });
  const says = async (...args: string[]) => {
    const { code, stdout, stderr } = await gantryd(['proxy', ...args]);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };
  const first = lastJson(await says('upgrade', '--json'));
  assert.deepEqual([first.running, first.version], [true, VERSION], 'where none runs, it is started');
  assert.equal(lastJson(await says('start', '--json')).pid, first.pid);

  const backend = createServer((socket) => void socket.on('error', () => {}).pipe(socket)).listen(
    0,
    '127.0.0.2',
  );
  await once(backend, 'listening');
  t.after(() => void backend.close());
  const { port: containerPort } = backend.address() as net.AddressInfo;
  const listener = { address: '127.0.0.1', port: await freePort(), kind: 'tcp', containerPort } as const;
  const route = { component: 'web', listeners: [listener], backends: [{ id: 'a', host: '127.0.0.2' }] };
  await new ProxyClient({ stateDir }).put('shop', {
    ifRevision: 0,
    table: { routes: [route], limits: DEFAULT_LIMITS },
  });
  const client = net.connect(listener.port, listener.address);
  t.after(() => void client.destroy());
  client.write('x');
  await once(client, 'data');

  const numbers = await says('metrics');
  assert.match(
    numbers,
    /^gantryd_proxy_tcp_connections_total\{project="shop",component="web",release="none"\} 1$/m,
  );
  assert.equal(numbers, `${numbers.trimEnd()}\n`, 'as a file for scrapers ends');

  const words = await says('upgrade');
  assert.match(words, new RegExp(`^The proxy is now ${VERSION} .* in place of .*process ${first.pid}`));
  const shown = await says('status');
  assert.match(shown, /^OLDER PROCESS +VERSION +STATUS +CLIENTS +CONNECTIONS$/m);
  assert.match(shown, new RegExp(`^${first.pid} +${VERSION} +leaving +1 +1$`, 'm'));
  const { was, now } = lastJson(await says('upgrade', '--json')) as Record<string, { pid: number }>;
  assert.notEqual(was?.pid, now?.pid);
  const status = lastJson(await says('status', '--json'));
  assert.deepEqual([status.pid, (status.older as { pid: number }[])[0]?.pid], [now?.pid, first.pid]);
  client.destroy();
  await until(async () => lastJson(await says('status', '--json')).older === undefined, {
    timeoutMs: 20_000,
    what: 'the older one to end',
  });
  assert.match(await says('stop'), /^The proxy has stopped/);
});

test('an agent that meets an older proxy has it replaced; when that fails it says so and goes on', async (t) => {
  const stateDir = join(await tempFolder(t), 's');
  await mkdir(stateDir, { mode: 0o700 });
  const asked: string[] = [];
  const older = createHttpServer((req, res) => {
    asked.push(`${req.method} ${req.url}`);
    const status = { protocol: PROTOCOL_VERSION, version: '0.0.1', pid: 1, owners: [], backends: [] };
    const problem = { code: 'proxy-failed', message: 'the successor is lame' };
    res.statusCode = req.method === 'POST' ? 409 : 200;
    res.end(JSON.stringify(req.method === 'POST' ? problem : status));
  });
  await new Promise<void>((resolve) => older.listen(join(stateDir, PROXY_SOCKET), resolve));
  t.after(() => void older.close());
  const nowhere = ['--etcd', `127.0.0.1:${await freePort()}`, '--address', '127.0.0.1', '--json'];
  const agent = cli(t, stateDir).start('gantryd', ['run', 'shop', ...nowhere]);
  await agent.says('the successor is lame');
  assert.ok(asked.includes('POST /v1/upgrade'), asked.join());
  assert.match(agent.stdout, /"kind":"trouble","code":"proxy-failed"/);
  await agent.says('"running"');
  agent.signal('SIGINT');
  assert.equal((await agent.ended).code, 0);
});
