/**
 * When the host fails a command (engine gone, disk full, files damaged, nobody reading), it must say so in one
 * message, leave what serves alone, and the next command must go on from there.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { isOneMessage } from '../cli/cases.ts';
import { engineAddress, skipWithoutEngine, until } from '../ground/harness.ts';
import { run, start } from '../ground/processes.ts';
import { relay } from '../ground/relay.ts';
import { processesOf } from '../ground/sandbox.ts';
import { exitedWith, getText, openShop, version, WAIT_MS } from './shop.ts';

const skip = skipWithoutEngine;
const skipWithoutRoot = skip || (process.getuid?.() !== 0 && 'mounting takes root');
const SMALL_DISK_BYTES = 1024 * 1024;
const GANTRY = join(PACKAGE_ROOT, 'bin', 'gantry.js');

test('an engine that goes away in the middle of an update', { skip }, async (t) => {
  const shop = await openShop(t);
  const engine = await relay(t, shop.box.folder, engineAddress());
  const docker = ['--docker', engine.address];
  await shop.must('start', ...version('good'), ...docker);

  for (const call of ['/containers/create', '/start'])
    await t.test(`at ${call}`, async () => {
      const before = (await shop.list()).filter((row) => row.status === 'running');
      engine.cutAt(call);
      const result = await shop.gantry('update', ...version('bad'), ...docker);
      exitedWith(1, result);
      isOneMessage(result);
      assert.match(result.stderr, /broke off.*\n.*The next command on it removes.*served before serves on/);
      assert.equal(await getText(shop.http, '/version'), 'good');
      await engine.mend();
      await shop.must('update', ...version('good'), ...docker);
      const after = await shop.list();
      assert.deepEqual([after.length, before.some((row) => row.id === after[0]?.id)], [1, false]);
    });

  await t.test('and comes back: the attempt is cleared away at once', async () => {
    const before = (await shop.containers()).map((c) => c.id);
    engine.cutAt('/start');
    const update = shop.gantry('update', ...version('bad'), ...docker);
    await engine.cutDone();
    await engine.mend();
    const result = await update;
    exitedWith(1, result);
    assert.match(result.stderr, /Its new containers are removed; what served before serves on/);
    await shop.untilContainers(before);
  });

  await t.test('after the switch: the new ones serve, the next command ends the old', async () => {
    engine.cutAt('/stop');
    const result = await shop.gantry('update', ...version('new'), ...docker);
    exitedWith(1, result);
    isOneMessage(result);
    assert.match(result.stderr, /new containers of web serve; the next command on it goes on/);
    assert.equal(await getText(shop.http, '/version'), 'new');
    await engine.mend();
    await shop.must('stop', ...docker);
    await shop.untilContainers([]);
  });
});

test('a full disk fails an update before anything starts', { skip: skipWithoutRoot }, async (t) => {
  const shop = await openShop(t);
  await onSmallDisk(shop.box.stateDir, async () => {
    await shop.must('start', ...version('good'));
    const before = (await shop.containers()).map((c) => c.id);
    const filler = join(shop.box.stateDir, 'filler');
    await writeFile(filler, Buffer.alloc(2 * SMALL_DISK_BYTES)).catch(() => undefined); // until it is full
    const result = await shop.gantry('update', ...version('bad'));
    exitedWith(1, result);
    isOneMessage(result);
    assert.match(result.stderr, /cannot write .*web\.json.*disk is full\n.*free some space/i);
    assert.doesNotMatch(result.stdout, /Starting container/);
    await shop.untilContainers(before);
    assert.equal(await getText(shop.http, '/version'), 'good');
    await rm(filler);
    await shop.must('update', ...version('new'));
    assert.equal(await getText(shop.http, '/version'), 'new');
    await shop.must('stop');
  });
});

/** The state directory on a file system of its own while `body` runs; its proxy is ended with it. */
async function onSmallDisk(stateDir: string, body: () => Promise<void>): Promise<void> {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK_BYTES},mode=0700`, 'tmpfs', stateDir]);
  try {
    await body();
  } finally {
    // The sandbox finds what is left by it.
    const hostId = await readFile(join(stateDir, 'host-id'), 'utf8').catch(() => '');
    for (const { pid } of processesOf(stateDir)) process.kill(pid, 'SIGKILL');
    execFileSync('umount', ['-l', stateDir]);
    await writeFile(join(stateDir, 'host-id'), hostId);
  }
}

test('damaged files', { skip }, async (t) => {
  const shop = await openShop(t);
  const { stateDir, project } = shop.box;
  const record = join(stateDir, 'components', project, 'web.json');
  await shop.must('start', ...version('v1'));

  await t.test('a record: named, and nothing is touched until it is moved away', async () => {
    const before = (await shop.containers()).map((c) => c.id);
    const whole = await readFile(record, 'utf8');
    await writeFile(record, whole.slice(0, whole.length / 2));
    for (const action of ['list', 'update', 'stop', 'kill']) {
      const result = await shop.gantry(action);
      exitedWith(1, result);
      isOneMessage(result);
      assert.ok(result.stderr.includes(record), result.stderr);
    }
    await shop.untilContainers(before);
    await rename(record, `${record}.away`);
    await shop.must('update', ...version('v2'));
    assert.equal(await getText(shop.http, '/version'), 'v2');
    const [after, ...more] = await shop.list();
    assert.deepEqual([after?.release, more.length], [2, 0]);
  });

  await t.test("the proxy's tables: put aside, and made anew from what is recorded", async () => {
    exitedWith(0, await shop.box.gantryd(['proxy', 'stop']));
    await writeFile(join(stateDir, 'proxy-tables.json'), '{"format":');
    await shop.must('update', ...version('v3'));
    assert.equal(await getText(shop.http, '/version'), 'v3');
    assert.equal(await readFile(join(stateDir, 'proxy-tables.json.bad'), 'utf8'), '{"format":');
    assert.equal((await shop.list()).length, 1);
  });
});

test('nobody reads', { skip }, async (t) => {
  const shop = await openShop(t);
  const status = '"$' + '{PIPESTATUS[0]}"';
  const shell = (line: string) =>
    run(t, 'bash', ['-c', line, process.execPath, GANTRY, shop.file], { env: shop.box.env });

  await t.test('a closed pipe: the command does what it was asked, and says nothing more', async () => {
    const { stdout, stderr } = await shell(`"$0" "$1" "$2" start web | true; echo ${status}`);
    assert.deepEqual([stdout, stderr], ['0\n', '']);
    assert.equal(await getText(shop.http, '/version'), 'v1');
    assert.deepEqual(await shell(`"$0" "$1" "$2" list web --json | head -c 0; exit ${status}`), {
      ...{ code: 0, signal: undefined },
      ...{ stdout: '', stderr: '' },
    });
  });

  await t.test('closed streams do no harm', async () => {
    for (const line of ['list web >&-', 'list web >&- 2>&-', 'update web >&- 2>&-'])
      assert.equal((await shell(`exec "$0" "$1" "$2" ${line}`)).code, 0, line);
    assert.equal((await shell('exec "$0" "$1" "$2" list nosuch 2>&-')).code, 2);
  });

  await t.test('a full disk under stdout fails the command with a message', async () => {
    const result = await shell('exec "$0" "$1" "$2" list web > /dev/full');
    exitedWith(1, result);
    assert.match(result.stderr, /^Error: the output could not be written: .*ENOSPC/);
  });
});

test('a component that the config has no more can be listed and ended', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start');
  const { components } = JSON.parse(await readFile(shop.file, 'utf8'));
  const other = { project: shop.box.project, components: [{ ...components[0], name: 'other' }] };
  const file = await shop.box.config(other, 'later.json');
  const update = await shop.box.gantry([file, 'update', 'web']);
  exitedWith(2, update);
  isOneMessage(update);
  assert.match(update.stderr, /has no component web any more\n {2}It has: other\. .*list, stop and kill/);
  const list = await shop.box.gantry([file, 'list', 'web']);
  exitedWith(0, list);
  assert.match(list.stdout, / running /);
  const stop = await shop.box.gantry([file, 'stop', 'web']);
  exitedWith(0, stop);
  assert.match(stop.stdout, /Component web is stopped\n$/);
  await shop.untilContainers([]);
});

test('what a terminal and a reader see of a drain that is held', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('old'));
  const client = connect(shop.tcp.port, '127.0.0.1');
  t.after(() => void client.destroy());
  await new Promise((resolve, reject) => client.once('data', resolve).once('error', reject));

  await t.test('proxy stop refuses while a connection is open', async () => {
    const result = await shop.box.gantryd(['proxy', 'stop']);
    exitedWith(1, result);
    isOneMessage(result);
    assert.match(result.stderr, /1 connection|connections?.*open/);
    const status = await shop.box.gantryd(['proxy', 'status']);
    assert.match(status.stdout, new RegExp(`0\\.0\\.0\\.0:${shop.tcp.port} .*${shop.box.project}/web`));
    assert.match(status.stdout, / serving +1 \(oldest \d+ s\)/);
  });

  await t.test('the terminal shows the connection that holds, the list both containers', async () => {
    const words = [process.execPath, GANTRY, shop.file, 'update', 'web', ...version('new')];
    const line = words.map((word) => `'${word}'`).join(' ');
    const terminal = start(t, 'script', ['-qec', line, '/dev/null'], {
      env: { ...shop.box.env, TERM: 'xterm' },
    });
    await terminal.says(/1 connection, the oldest for \d+ s/, WAIT_MS);
    const listed = await shop.must('list');
    const [head = '', first = '', second = ''] = listed.split('\n');
    assert.match(head, /^CONTAINER ID {9}UPTIME +IMAGE ID +STATUS {15}CONNECTIONS$/);
    const image = `gantryd-e2e-${shop.box.project}:app`;
    assert.match(first, new RegExp(`^[0-9a-f]{12} .*${image} +running +0$`));
    assert.match(second, new RegExp(`^[0-9a-f]{12} .*${image} +draining +1 \\(oldest \\d+ s\\)$`));
    client.destroy();
    const { code, stdout } = await terminal.ended;
    assert.equal(code, 0, stdout);
    assert.match(stdout, /Component web is updated\r?\n$/);
  });

  await t.test('proxy stop --force ends it', async () => {
    const again = connect(shop.tcp.port, '127.0.0.1');
    t.after(() => void again.destroy());
    await new Promise((resolve, reject) => again.once('data', resolve).once('error', reject));
    const closed = new Promise((resolve) => again.once('close', resolve));
    again.on('error', () => again.destroy()); // cut on purpose
    exitedWith(0, await shop.box.gantryd(['proxy', 'stop', '--force']));
    await closed;
    assert.match((await shop.box.gantryd(['proxy', 'status'])).stdout, /^No proxy runs/);
    await until(async () => (await shop.list())[0]?.status === 'running', {
      timeoutMs: WAIT_MS,
      what: 'the container to be listed without a proxy',
    });
  });
});

test('log levels and --json tell what they say, and the answer always', { skip }, async (t) => {
  const shop = await openShop(t);
  assert.equal(await shop.must('start', '--log-level', 'silent'), '');
  assert.equal(await shop.must('update', '--log-level', 'error'), '');
  assert.equal(await shop.must('update', '--log-level', 'warn'), '');
  assert.match(await shop.must('list', '--log-level', 'silent'), / running /);
  assert.match(
    await shop.must('update', '--log-level', 'debug'),
    /Started container .*\n[\s\S]*Removed container /,
  );
  assert.match(
    await shop.must('update', '--dry-run', '--log-level', 'silent'),
    /^web: start a new container/,
  );
  const silent = await shop.gantry('start', '--log-level', 'silent');
  assert.deepEqual([silent.code, silent.stdout, silent.stderr], [1, '', '']);
  const kinds = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).kind);
  const told = kinds(await shop.must('update', '--json'));
  const steps = ['release-made', 'container-created', 'container-ready', 'switched', 'drain-started'];
  for (const kind of [...steps, 'container-removed']) assert.ok(told.includes(kind), kind);
  assert.equal(told.at(-1), 'result');
  assert.deepEqual(kinds(await shop.must('stop', '--json', '--log-level', 'error')), ['result']);
});
