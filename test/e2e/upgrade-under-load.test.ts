/**
 * A newer version must take the proxy over under load without losing anything, and lead who is still with the older
 * generation as well; that one ends by itself with its last client.
 */
import assert from 'node:assert/strict';
import { cp, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT, VERSION } from '../../src/version.ts';
import { type Cleanup, freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import { EASED, startLoad } from '../ground/load.ts';
import { run, start } from '../ground/processes.ts';
import { processesOf, type Sandbox, sandbox } from '../ground/sandbox.ts';
import { exitedWith, getText, lostNothing, openShop, version, WAIT_MS } from './shop.ts';

const NEWER = '99.0.0';

test('a newer version takes over under load, and loses nothing', { skip: skipWithoutEngine }, async (t) => {
  const shop = await openShop(t, { led: true });
  const installed = await install(t, shop.box);
  exitedWith(0, await installed.ends('gantry', shop.file, 'start', 'web', ...version('v1')));
  const [first] = await shop.containers();
  const { http, tcp, led } = shop;
  const load = await startLoad(t, { http, tcp, led, slowMs: 1_000, easing: EASED });
  const elder = await shop.box.proxy();
  assert.equal(elder.version, VERSION);

  await installed.becomes(NEWER);
  exitedWith(0, await installed.ends('gantryd', 'proxy', 'upgrade'));
  const proxy = await shop.box.proxy();
  assert.equal(proxy.version, NEWER);
  assert.deepEqual(
    proxy.older?.map(({ pid, version }) => [pid, version]),
    [[elder.pid, VERSION]],
  );

  const update = ['update', 'web', '--detach', ...version('v2')];
  exitedWith(0, await installed.ends('gantry', shop.file, ...update));
  assert.equal(await getText(shop.http, '/version'), 'v2');
  const held = async () => (await shop.list()).find((row) => row.id === first?.id);
  await until(async () => (await held())?.connections?.open === (shop.led === undefined ? 3 : 4), {
    timeoutMs: WAIT_MS,
    what: 'nothing but the streams, of the older generation and of the kernel, to hold the old container',
  });
  assert.equal((await held())?.status, 'draining');
  assert.equal((await shop.box.proxy()).older?.length, 1);

  await load.closeStreams();
  const there = () => processesOf(shop.box.stateDir).some(({ pid }) => pid === elder.pid);
  await until(() => !there(), { timeoutMs: WAIT_MS, what: 'the older generation to end' });
  const forgotten = async () => (await shop.box.proxy()).older === undefined;
  await until(forgotten, { timeoutMs: WAIT_MS, what: 'the newer one to know' });
  await lostNothing(load);
});

test('an agent of a newer version brings the proxy along', async (t) => {
  const box = await sandbox(t);
  const installed = await install(t, box);
  exitedWith(0, await installed.ends('gantryd', 'proxy', 'start'));
  await installed.becomes(NEWER);
  const agent = installed.stays('gantryd', 'run', 'shop', '--etcd', `http://127.0.0.1:${await freePort()}`);
  await until(async () => (await box.proxy()).version === NEWER, {
    timeoutMs: WAIT_MS,
    what: 'the newer proxy',
  });
  agent.signal('SIGTERM');
  exitedWith(0, await agent.ended);
});

/** This program once more, in a folder of its own, which may become that of another version. */
async function install(t: Cleanup, box: Sandbox) {
  const folder = join(box.folder, 'installed');
  await place(folder, VERSION);
  const line = (program: string, args: readonly string[]) => [join(folder, 'bin', `${program}.js`), ...args];
  const options = { env: box.env };
  return {
    ends: (program: 'gantry' | 'gantryd', ...args: readonly string[]) =>
      run(t, process.execPath, line(program, args), options),
    stays: (program: 'gantry' | 'gantryd', ...args: readonly string[]) =>
      start(t, process.execPath, line(program, args), options),
    /** As `npm install --global` does it: the files of what runs go, and others take their place. */
    async becomes(version: string) {
      await rename(folder, `${folder}-before`);
      await place(folder, version);
      await rm(`${folder}-before`, { recursive: true });
    },
  };
}

async function place(folder: string, version: string): Promise<void> {
  await mkdir(join(folder, 'dist'), { recursive: true });
  await cp(join(PACKAGE_ROOT, 'bin'), join(folder, 'bin'), { recursive: true });
  await cp(join(PACKAGE_ROOT, 'dist', 'src'), join(folder, 'dist', 'src'), { recursive: true });
  await symlink(join(PACKAGE_ROOT, 'node_modules'), join(folder, 'node_modules'));
  const about = JSON.parse(await readFile(join(PACKAGE_ROOT, 'package.json'), 'utf8'));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ ...about, version }));
}
