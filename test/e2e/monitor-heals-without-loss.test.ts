/** `-m` must replace what fails, start-first, and never take away what still serves. */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { dockerCall } from '../ground/docker.ts';
import { skipWithoutEngine, until } from '../ground/harness.ts';
import { EASED, startLoad } from '../ground/load.ts';
import { keepAliveClient, newConnectionClient } from '../ground/requests.ts';
import { openTcp } from '../ground/streams.ts';
import {
  type Command,
  carriesOn,
  directly,
  exitedWith,
  getText,
  lostNothing,
  opened,
  openShop,
  type Shop,
  tells,
  version,
  WAIT_MS,
} from './shop.ts';

const skip = skipWithoutEngine;
const HEALTH = { kind: 'http', path: '/health', port: 8080, interval: 200 };

test('a killed container is replaced at once, and the other serves meanwhile', { skip }, async (t) => {
  const { shop, monitor } = await monitored(t, { instances: 2 });
  const [killed = '', spared = ''] = await serving(shop);
  await kill(killed);
  const clients = [newConnectionClient(shop.http, 5), keepAliveClient(shop.http, 5)];
  t.after(() => Promise.all(clients.map((client) => client.stop())).then(() => undefined));
  await untilServing(shop, (now) => now.length === 2 && !now.includes(killed) && now.includes(spared));
  await shop.untilContainers(await serving(shop));
  await Promise.all(clients.map((client) => client.stop()));
  assert.deepEqual(
    clients.flatMap((client) => client.tally.errors),
    [],
  );
  await ends(monitor);
});

test('an unhealthy container is replaced start-first, without a failed request', { skip }, async (t) => {
  const { shop, monitor } = await monitored(t, {});
  const load = await startLoad(t, { http: shop.http, slowMs: 500, easing: EASED });
  const [broken = ''] = await serving(shop);
  await getText(await directly(broken), '/break');
  await untilServing(shop, (now) => now.length === 1 && !now.includes(broken));
  const [row] = (await shop.list()).filter(({ id }) => id === broken);
  assert.equal(row?.status, 'draining', 'its streams hold it');
  const [fell] = monitor.events('health-changed').filter(({ now }) => now === 'unhealthy');
  assert.equal(fell?.container, broken);
  assert.match(String(fell?.why), /answered 5\d\d/);
  await load.closeStreams();
  await shop.untilContainers(await serving(shop));
  await lostNothing(load);
  await ends(monitor);
});

test('one that is paused is replaced, and its connections go on once it does', { skip }, async (t) => {
  const { shop, monitor } = await monitored(t, {
    healthChecks: [{ ...HEALTH, timeout: 200, fall: 2 }],
    terminationSignals: [{ kind: 'exec', command: ['/bin/node', '-e', ''] }],
  });
  const [paused = ''] = await serving(shop);
  const stream = await opened(t, openTcp(shop.tcp));
  await dockerCall('POST', `/containers/${paused}/pause`);
  await untilServing(shop, (now) => now.length === 1 && !now.includes(paused));
  await until(() => monitor.events('signals-sent')[0], { timeoutMs: WAIT_MS, what: 'its drain to go on' });
  await dockerCall('POST', `/containers/${paused}/unpause`);
  await carriesOn(stream);
  await stream.stop();
  await shop.untilContainers(await serving(shop));
  await ends(monitor);
});

test('a crash loop backs off, and what serves is left alone', { skip }, async (t) => {
  const command = ['/bin/node', '-e', CRASHES_WITH_FILE];
  const { shop, monitor } = await monitored(t, { instances: 2, command }, (folder) => [
    '--set',
    `bindings=${JSON.stringify([{ external: folder, volume: '/shared', readOnly: true }])}`,
  ]);
  const [killed = '', spared = ''] = await serving(shop);
  const crash = join(shop.box.folder, 'crash');
  await writeFile(crash, '');
  await kill(killed);
  const load = await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 300, easing: EASED });
  let most = 0;
  const crashes = async () => {
    most = Math.max(most, (await shop.containers()).length);
    return monitor.events('container-failed').length;
  };
  await until(async () => (await crashes()) >= 4, {
    timeoutMs: WAIT_MS,
    what: 'the killed one and three crashes',
  });
  assert.ok(most <= 3, `one that serves, one that comes and one that went, not ${most}`);
  const pauses = monitor.events('waiting').filter((event) => event.for === 'backoff');
  assert.ok(pauses.length >= 2, 'it waits between two tries');
  // On a slow machine the one that went may still be going then, and is told of as well.
  assert.match(
    String(pauses[0]?.why),
    /^\d(nd|rd|th) failure in a row, next try in [^;]*;[^;]* up to 60 s(;|$)/,
  );
  const words = monitor.events('container-failed').at(-1)?.lastWords;
  assert.deepEqual(words, { logs: [], exitCode: 4, oomKilled: false });
  assert.deepEqual(await serving(shop), [spared]);
  await rm(crash);
  await untilServing(shop, (now) => now.length === 2 && now.includes(spared));
  await lostNothing(load);
  await ends(monitor);
});

/** The application, unless a file says that it is broken. */
const CRASHES_WITH_FILE = `
  if (require('fs').existsSync('/shared/crash')) process.exit(4);
  import('/app/server.mjs');
`;

test('an update from another terminal goes through, and the monitor goes on with it', { skip }, async (t) => {
  const { shop, monitor } = await monitored(t, { instances: 2 });
  const load = await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 500, easing: EASED });
  await shop.must('update', '--detach', ...version('v2'));
  assert.equal(await getText(shop.http, '/version'), 'v2');
  await load.closeStreams();
  const now = await serving(shop);
  await shop.untilContainers(now);
  await lostNothing(load);
  const [killed = ''] = now;
  await dockerCall('POST', `/containers/${killed}/kill`);
  await untilServing(shop, (later) => later.length === 2 && !later.includes(killed));
  for (let n = 0; n < 4; n++) assert.equal(await getText(shop.http, '/version'), 'v2');
  await ends(monitor);
});

test('update -m heals what is new while a stream still holds what is old', { skip }, async (t) => {
  const shop = await openShop(t, { web: { healthChecks: [HEALTH] } });
  await shop.must('start', ...version('v1'));
  const [old = ''] = await serving(shop);
  const stream = await opened(t, openTcp(shop.tcp));
  const monitor = shop.begin('update', '-m', ...version('v2'));
  await tells(monitor, 'monitoring');
  const [killed = ''] = await serving(shop);
  assert.notEqual(killed, old);
  await kill(killed);
  await untilServing(shop, (now) => now.length === 1 && !now.includes(killed) && !now.includes(old));
  assert.equal((await shop.list()).find(({ id }) => id === old)?.status, 'draining');
  assert.equal(stream.cutAt, undefined);
  await stream.stop();
  await shop.untilContainers(await serving(shop));
  await ends(monitor);
});

test('a stop from another terminal ends the monitor well', { skip }, async (t) => {
  const { shop, monitor } = await monitored(t, {});
  await shop.must('stop');
  exitedWith(0, await monitor.ended);
  await shop.untilContainers([]);
});

test('a proxy that is killed comes back with its routes', { skip }, async (t) => {
  const { shop, monitor } = await monitored(t, { instances: 2 });
  const pid = await proxyPid(shop);
  process.kill(pid, 'SIGKILL');
  const began = performance.now();
  await until(() => getText(shop.http, '/version'), { timeoutMs: WAIT_MS, what: 'an answer again' });
  t.diagnostic(`back after ${Math.round(performance.now() - began)} ms`);
  assert.notEqual(await proxyPid(shop), pid);
  const load = await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 300, easing: EASED });
  await shop.must('update', '--detach', ...version('v2'));
  await lostNothing(load);
  await ends(monitor);
});

async function monitored(
  t: TestContext,
  web: Readonly<Record<string, unknown>>,
  args: (folder: string) => readonly string[] = () => [],
): Promise<{ shop: Shop; monitor: Command }> {
  const shop = await openShop(t, { web: { healthChecks: [HEALTH], ...web } });
  const monitor = shop.begin('start', '-m', ...version('v1'), ...args(shop.box.folder));
  await tells(monitor, 'monitoring');
  return { shop, monitor };
}

/** Ctrl-C ends a monitor well, and all serves on. */
async function ends(monitor: Command): Promise<void> {
  monitor.interrupt();
  exitedWith(0, await monitor.ended);
}

async function kill(container: string): Promise<void> {
  await dockerCall('POST', `/containers/${container}/kill`);
  await dockerCall('POST', `/containers/${container}/wait`, undefined, [200, 404]);
}

async function proxyPid(shop: Shop): Promise<number> {
  return (await shop.box.proxy()).pid;
}

async function serving(shop: Shop): Promise<readonly string[]> {
  const rows = await shop.list();
  return rows.filter(({ status }) => status === 'running').map(({ id }) => id);
}

async function untilServing(shop: Shop, wanted: (ids: readonly string[]) => boolean): Promise<void> {
  const what = 'the wanted containers to serve';
  await until(async () => wanted(await serving(shop)), { timeoutMs: WAIT_MS, what });
}
