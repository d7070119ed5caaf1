/**
 * Uninstall must leave what serves, and no rule that nobody looks after. On a host of its own: a network, and a view of /etc
 * and /run, that only its processes have. Alone systemctl is a stand-in, since no systemd runs there.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ProxyClient } from '../../../src/proxy/control/client.ts';
import type { Listener } from '../../../src/proxy/tables/routes.ts';
import { skipWithoutKernel } from '../../ground/far.ts';
import { type Cleanup, tempFolder, until } from '../../ground/harness.ts';
import { type Cli, cli, type Running, run, start } from '../../ground/processes.ts';
import { tableOf } from '../../proxy/ground.ts';
import { isGone, processesOf, stateDir } from '../../proxy/process-ground.ts';
import { isOneMessage, lastJson } from '../cases.ts';

const WAIT_MS = 15_000;
const LED = '172.30.0.2';
const [LED_PORT, CARRIED_PORT, ECHO_PORT] = [8080, 8081, 8082];

/** What of it is asked here: what is enabled is a link, and a service that is started is run to its end. */
const SYSTEMCTL = `#!/bin/sh
shift # --no-ask-password
verb=$1; shift
for unit; do
  file=/etc/systemd/system/$(echo "$unit" | sed 's/@.*\\./@./')
  wanted=/etc/systemd/system/multi-user.target.wants/$unit
  case $verb in
    enable) mkdir -p "\${wanted%/*}" && ln -sf "$file" "$wanted" ;;
    disable) rm -f "$wanted" ;;
    start) sed -n 's/^ExecStart=//p' "$file" | sh ;;
  esac || exit
done
`;

/** Until its input ends. */
const OWN_FILES = `
  mkdir "$0/etc" "$0/run" && cp -a /etc/. "$0/etc" && mkdir -p "$0/run/systemd/system" &&
  mount --bind "$0/etc" /etc && mount --bind "$0/run" /run && ip link set lo up && exec cat`;

/** Answers what it is sent, and is its own client through the proxy. */
const CLIENT = `
  const net = require('node:net');
  net.createServer((socket) => socket.pipe(socket)).listen(${ECHO_PORT}, '127.0.0.1', () => {
    net.connect(${CARRIED_PORT}, '127.0.0.1').on('data', () => console.log('carried')).write('x');
  });`;

interface Scene extends Cli {
  readonly proxy: ProxyClient;
  must(...args: readonly string[]): Promise<Readonly<Record<string, unknown>>>;
  /** All tables of rules of that host. */
  rules(): Promise<string>;
  /** The units that are there, or enabled. */
  units(): Promise<readonly string[]>;
  /** Has the proxy lead a port by the kernel, and carry another one itself. */
  route(): Promise<void>;
  /** A client that the proxy carries. */
  client(): Promise<Running>;
}

async function scene(t: TestContext): Promise<Scene> {
  const state = await stateDir(t);
  const folder = await tempFolder(t);
  await writeFile(join(folder, 'systemctl'), SYSTEMCTL);
  await chmod(join(folder, 'systemctl'), 0o755);
  const within = ['nsenter', ...(await ownHost(t, folder)), '--'];
  const path = { PATH: `${folder}:${process.env.PATH}` };
  const commands = cli(t, state, path, within);
  const proxy = new ProxyClient({ stateDir: state });
  const [first = '', ...rest] = within;
  return {
    ...{ ...commands, proxy },
    async must(...args) {
      const { code, stdout, stderr } = await commands.gantryd([...args, '--json']);
      assert.equal(code, 0, `${stdout}${stderr}`);
      return lastJson(stdout);
    },
    rules: async () => (await run(t, first, [...rest, 'nft', 'list', 'ruleset'])).stdout,
    async units() {
      const names = await readdir(join(folder, 'etc', 'systemd', 'system'), { recursive: true });
      return names.filter((name) => name.includes('gantryd')).sort();
    },
    async route() {
      const led: Listener = listener(LED_PORT, { address: '0.0.0.0', plane: 'kernel' });
      const [db, echo] = [
        { component: 'db', listeners: [led], backends: [{ id: 'a', host: LED, pid: process.pid }] },
        {
          component: 'echo',
          listeners: [listener(CARRIED_PORT)],
          backends: [{ id: 'b', host: '127.0.0.1' }],
        },
      ];
      await proxy.put('shop', {
        ifRevision: (await proxy.table('shop')).revision,
        table: tableOf([db, echo]),
      });
    },
    async client() {
      const running = start(t, first, [...rest, process.execPath, '-e', CLIENT]);
      await running.says('carried', WAIT_MS);
      return running;
    },
  };
}

function listener(port: number, more: Partial<Listener> = {}): Listener {
  return { address: '127.0.0.1', port, kind: 'tcp', containerPort: ECHO_PORT, ...more };
}

/** How nsenter comes there. */
async function ownHost(t: Cleanup, folder: string): Promise<readonly string[]> {
  const words = ['--net', '--mount', 'sh', '-c', OWN_FILES, folder];
  const holder = spawn('unshare', words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(holder, 'exit');
  t.after(async () => {
    holder.stdin.end();
    await ended;
  });
  holder.stdin.write('ready');
  const first = await Promise.race([once(holder.stdout, 'data'), ended]);
  assert.equal(String(first[0]), 'ready');
  return ['--net', '--mount', `--target=${holder.pid}`];
}

test('uninstall leaves a proxy that runs, with its rules; --purge ends it, and takes them', {
  skip: skipWithoutKernel,
}, async (t) => {
  const { must, proxy, ...host } = await scene(t);
  assert.equal((await must('install', 'shop')).proxy, 'started');
  await host.route();
  const client = await host.client();
  const before = await host.rules();
  assert.ok(before.includes(LED), before);
  assert.ok((await host.units()).some((name) => name.endsWith('wants/gantryd@shop.service')));

  const { agents, proxy: left } = await must('uninstall');
  assert.deepEqual([agents, left], [['shop'], 'running']);
  assert.deepEqual([await host.rules(), await host.units()], [before, []]);

  const refused = await host.gantryd(['uninstall', '--purge']);
  assert.equal(refused.code, 1);
  isOneMessage(refused);
  assert.match(refused.stderr, /is gone, but the proxy is in use: 1 connection is open\n.*--purge --force/);
  assert.ok((await host.rules()).includes(LED));

  client.signal('SIGKILL');
  const isIdle = async () => (await proxy.status()).backends.every(({ open }) => open === 0);
  await until(isIdle, { timeoutMs: WAIT_MS, what: 'the proxy to carry nothing' });
  assert.equal((await must('uninstall', '--purge')).proxy, 'stopped');
  assert.deepEqual([await host.rules(), await isGone(proxy)], ['', true]);
});

test('uninstall takes the rules that no proxy looks after', { skip: skipWithoutKernel }, async (t) => {
  const { must, ...host } = await scene(t);
  await must('proxy', 'start');
  await host.route();
  for (const pid of processesOf(host.env.GANTRYD_STATE_DIR ?? '')) process.kill(pid, 'SIGKILL');
  assert.ok((await host.rules()).includes(LED), 'the kernel leads on');
  assert.equal((await must('uninstall')).proxy, 'absent');
  assert.equal(await host.rules(), '');
});
