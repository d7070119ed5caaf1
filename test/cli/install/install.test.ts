/**
 * Install must write what systemd takes, write nothing twice, leave what is not its own, and say what to do where it
 * cannot. Into a folder, with the systemd tools of this machine, which need no systemd that runs.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { unitFiles } from '../../../src/cli/install/units.ts';
import { type Cleanup, tempFolder } from '../../ground/harness.ts';
import { type Cli, cli, run } from '../../ground/processes.ts';
import { type Case, fails, lastJson } from '../cases.ts';

const UNITS = ['etc', 'systemd', 'system'];
const isBooted = existsSync('/run/systemd/system');
const skipWithout = (tool: string) =>
  spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0 ? false : `not installed: ${tool}`;
const withoutSystemctl = { skip: skipWithout('systemctl') };

describe('gantryd install', () => {
  let commands: Cli;
  let folder: string;
  const cleanups: (() => Promise<void> | void)[] = [];
  const cleanup: Cleanup = { after: (clean) => void cleanups.push(clean) };
  before(async () => {
    folder = await tempFolder(cleanup);
    // No setting of the tests' own becomes one of the services.
    commands = cli(cleanup, join(folder, 'home'), { GANTRYD_STATE_DIR: '', DOCKER_HOST: '' });
  });
  after(async () => {
    for (const clean of cleanups) await clean();
  });

  async function root(): Promise<string> {
    const path = await tempFolder(cleanup);
    await mkdir(path, { recursive: true });
    return path;
  }

  async function must(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await commands.gantryd(args);
    assert.equal(code, 0, `${stdout}${stderr}`);
    return stdout;
  }

  async function refuses(args: readonly string[], code: 1 | 2, ...says: Case['says']) {
    await fails(commands, { command: 'gantryd', args, code, says });
  }

  test('refuses what it cannot do, and says what can be done', async () => {
    await refuses(['install', 'a/b'], 2, '"a/b" cannot be the name of a project');
    await refuses(['install', '--root', join(folder, 'none')], 2, 'is no folder');
    await refuses(['install', '--root', ''], 2, '--root needs a value');
    await refuses(['install', '--prnt'], 2, 'did you mean "--print"?');
    await refuses(['uninstall', 'shop', '--purge'], 2, '--purge ends the proxy', 'gantryd uninstall --purge');
    await refuses(['uninstall', '--purge', '--root', folder], 2, '--purge ends the proxy');
    await refuses(['uninstal'], 2, 'did you mean "uninstall"?');
    if (isBooted) return;
    for (const command of ['install', 'uninstall'])
      await refuses([command, 'shop'], 1, 'systemd does not run here', '`gantryd proxy start`', '--root DIR');
  });

  test('--print shows what it would write, and writes nothing', async () => {
    const place = await root();
    const shown = await must('install', 'shop', '--print', '--root', place, '--etcd', 'http://e:2379');
    for (const words of ['GANTRYD_ETCD=http://e:2379', 'RefuseManualStop=yes', 'run %i\n'])
      assert.ok(shown.includes(words), words);
    assert.deepEqual(await readdir(place), []);
    const { files } = lastJson(await must('install', '--print', '--json'));
    const paths = (files as readonly { path: string }[]).map(({ path }) => path);
    assert.deepEqual(paths, [
      '/etc/systemd/system/gantryd-proxy.service',
      '/etc/systemd/system/gantryd@.service',
    ]);
  });

  test('into a folder writes, enables, and changes only what differs', withoutSystemctl, async () => {
    const place = await root();
    const first = lastJson(await must('install', 'shop', '--root', place, '--etcd', 'http://e:1', '--json'));
    const files = first.files as readonly { path: string; change: string }[];
    assert.deepEqual(
      files.map(({ path, change }) => [path.slice(place.length), change]),
      [
        ['/etc/gantryd/gantryd.env', 'new'],
        ['/etc/systemd/system/gantryd-proxy.service', 'new'],
        ['/etc/systemd/system/gantryd@.service', 'new'],
      ],
    );
    assert.deepEqual([first.enabled, first.proxy, first.agents], [['shop'], 'not touched', []]);
    const wanted = join(place, ...UNITS, 'multi-user.target.wants');
    assert.deepEqual((await readdir(wanted)).sort(), ['gantryd-proxy.service', 'gantryd@shop.service']);
    assert.equal((await stat(join(place, 'etc', 'gantryd', 'gantryd.env'))).mode & 0o777, 0o600);

    const proxy = join(place, ...UNITS, 'gantryd-proxy.service');
    await writeFile(proxy, `${await readFile(proxy, 'utf8')}# older\n`);
    const again = await must('install', 'blog', '--root', place);
    assert.match(
      again,
      /gantryd\.env: as it was\n.*gantryd-proxy\.service: changed\n.*@\.service: as it was/,
    );
    assert.equal((await readdir(wanted)).length, 3);
    const settings = await readFile(join(place, 'etc', 'gantryd', 'gantryd.env'), 'utf8');
    assert.match(settings, /^GANTRYD_ETCD=http:\/\/e:1$/m, 'what was set before stays set');
  });

  test('keeps to the state directory that the services have', async () => {
    const place = await root();
    await mkdir(join(place, 'etc', 'gantryd'), { recursive: true });
    await writeFile(join(place, 'etc', 'gantryd', 'gantryd.env'), 'GANTRYD_STATE_DIR=/srv/gantryd\n');
    const args = ['install', '--root', place, '--state-dir', '/elsewhere'];
    await refuses(args, 1, 'use the state directory /srv/gantryd', 'With /elsewhere');
  });

  test('leaves a unit that somebody else has written', async () => {
    const place = await root();
    await mkdir(join(place, ...UNITS), { recursive: true });
    const unit = join(place, ...UNITS, 'gantryd@.service');
    await writeFile(unit, '[Service]\nExecStart=/bin/true\n');
    await refuses(
      ['install', '--root', place],
      1,
      `${unit} was not written by gantryd install`,
      'Move it away',
    );
    assert.deepEqual(await readdir(join(place, ...UNITS)), ['gantryd@.service']);
    assert.match(await must('uninstall', '--root', place), /^Nothing of it is installed\.$/m);
    assert.equal(existsSync(unit), true);
  });

  test('is taken back by uninstall, one agent or all', withoutSystemctl, async () => {
    const place = await root();
    await must('install', 'shop', 'blog', '--root', place, '--etcd', 'http://e:1');
    assert.deepEqual(lastJson(await must('uninstall', 'blog', '--root', place, '--json')), {
      kind: 'uninstalled',
      agents: ['blog'],
      removed: [],
      proxy: 'not touched',
    });
    const wanted = join(place, ...UNITS, 'multi-user.target.wants');
    assert.deepEqual((await readdir(wanted)).sort(), ['gantryd-proxy.service', 'gantryd@shop.service']);
    const said = await must('uninstall', '--root', place);
    assert.match(said, /gantryd-proxy\.service: removed\n.*gantryd@\.service: removed\n.*gantryd\.env stays/);
    const left = await readdir(place, { recursive: true });
    assert.deepEqual(
      left.filter((name) => /gantryd.*service/.test(name)),
      [],
    );
    assert.match(await must('uninstall', '--root', place), /^Nothing of it is installed\.$/m);
  });

  test('writes units that systemd has nothing against', {
    skip: skipWithout('systemd-analyze'),
  }, async (t) => {
    const odd = join(folder, 'my %h $HOME');
    await mkdir(odd);
    const node = join(odd, 'node');
    await writeFile(node, '#!/bin/sh\n');
    await chmod(node, 0o755);
    for (const program of [
      { node: process.execPath, script: join(folder, 'gantryd.js') },
      { node, script: join(odd, '"gantryd"\\x.js') },
    ]) {
      const units = unitFiles(program);
      const paths = units.map(({ name }) => join(folder, name));
      await Promise.all(units.map(({ name, text }) => writeFile(join(folder, name), text)));
      const { code, stderr } = await run(t, 'systemd-analyze', ['verify', '--man=no', ...paths]);
      // It also tells of the machine's other units.
      const told = stderr.split('\n').filter((line) => line.includes('gantryd'));
      assert.deepEqual([code, told], [0, []], stderr);
    }
  });
});
