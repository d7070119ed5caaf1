/**
 * What part `dataplane` stands on: this host, whose network is a namespace of the run's own (run.mjs makes it), a bridge
 * with containers on it, and another machine. Each container and the machine are a network namespace with a process in
 * it, and gone with that.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isRoot } from '../../ground/packages.mjs';
import { movePinned, until } from '../fronts.mjs';
import { hasTaskset, prepareNetwork } from '../network.mjs';
import { backendConfig } from './configs.mjs';
import { Cores } from './cores.mjs';

export const LOAD_CPU = 0;
export const PROXY_CPU = 1;
export const WEB_PORT = 8080;
export const ECHO_PORT = 8081;
/** Of this host, as the other machine sees it. */
export const HOST = '198.51.100.1';
const MACHINE = '198.51.100.2';
/** As Docker does: a bridge without an address of its own takes another one when a container goes. */
const BRIDGE_MAC = '02:42:ac:1f:00:01';
const BRIDGE = 'br-bench';
const GATEWAY = '172.30.0.1';
/** Of containers; a second address and so on of one of them is outside the range of first ones. */
const addressOf = (number) => `172.30.${number >> 8}.${number & 0xff}`;
const MORE_ADDRESSES = 512;
const BIG_BYTES = 1024 * 1024;
const START_MS = 15_000;
const END_MS = 5_000;
const MAX_SAID_CHARS = 10_000;
/** Two for each of the most connections that a run has, and others. */
const MANY_FILES = 65_536;
/** Before anything is pinned, which would leave one. */
const CORES = availableParallelism();

/** What is started after the end would stay. */
let interrupted = false;
for (const name of ['SIGINT', 'SIGTERM'])
  process.once(name, () => {
    interrupted = true;
  });

/** As network.mjs sets them for this host, and for the same reason. */
const SETTINGS = {
  'ipv4/ip_local_port_range': '10240 65535',
  'ipv4/tcp_tw_reuse': '1',
  'ipv4/tcp_max_tw_buckets': '256',
  'core/somaxconn': '4096',
};
const SET_UP = [
  ...Object.entries(SETTINGS).map(([name, value]) => `echo '${value}' > /proc/sys/net/${name}`),
  'ip link set lo up',
  'exec "$0" "$@"',
].join('\n');

/** `spread`: nothing is pinned, as on a host that nobody measures. */
export async function openGround(ends, { spread = false } = {}) {
  if (!isRoot() || process.env.GANTRYD_BENCH_NAMESPACE !== '1')
    throw new Error('this part takes root and a network namespace of its own: npm run bench -- dataplane');
  const folder = await mkdtemp(join(tmpdir(), 'gb-'));
  ends.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const pinned = CORES > 1 && hasTaskset();
  const notes = [...prepareNetwork()];
  if (!pinned) notes.push('one core only, or no taskset: nothing is pinned, the processes compete for cores');
  const ground = new Ground(ends, folder, pinned && !spread, notes);
  // An earlier section of this process has pinned it.
  if (pinned) movePinned(process.pid, spread ? `0-${CORES - 1}` : LOAD_CPU);
  await ground.open();
  if (ground.pinned) {
    ground.cores = new Cores(PROXY_CPU);
    ends.after(() => ground.cores.close());
  }
  return ground;
}

class Ground {
  #ends;
  #containers = 0;
  #machine;
  /** undefined: nothing is pinned. */
  cores;

  constructor(ends, folder, pinned, notes) {
    this.#ends = ends;
    this.folder = folder;
    this.pinned = pinned;
    this.notes = notes;
  }

  /** Also when an earlier section has had one in the same namespace. */
  async open() {
    spawnSync('ip', ['link', 'delete', BRIDGE]);
    ip(
      `link add ${BRIDGE} address ${BRIDGE_MAC} type bridge`,
      `link set ${BRIDGE} up`,
      `address add ${GATEWAY}/16 dev ${BRIDGE}`,
    );
    this.#ends.after(() => void spawnSync('ip', ['link', 'delete', BRIDGE]));
    await writeFile('/proc/sys/net/ipv4/ip_forward', '1');
    this.#machine = await this.#network('machine', ['sleep', 'infinity']);
    ip(
      `link add machine type veth peer name eth0 netns ${this.#machine.pid}`,
      `address add ${HOST}/24 dev machine`,
      'link set machine up',
    );
    ipIn(
      this.#machine,
      `address add ${MACHINE}/24 dev eth0`,
      'link set eth0 up',
      `route add default via ${HOST}`,
    );
  }

  /** Prefix of a command on the core of the load, on this host (`loopback`) or on the other machine (`remote`). */
  at(place) {
    const pin = this.pin(LOAD_CPU);
    return place === 'remote' ? ['nsenter', `--net=/proc/${this.#machine.pid}/ns/net`, ...pin] : pin;
  }

  pin(cpu) {
    return this.pinned ? ['taskset', '-c', `${cpu}`] : [];
  }

  move(pid, cpu) {
    if (this.pinned) movePinned(pid, cpu);
  }

  /** nginx with one worker in a network of its own, which answers `/`, `/big` and, with its name, `/who`. */
  async container(name, { addresses = 1 } = {}) {
    const folder = join(this.folder, name);
    await mkdir(folder);
    await writeFile(join(folder, 'big'), Buffer.alloc(BIG_BYTES, 'x'));
    await writeFile(join(folder, 'conf'), backendConfig(folder, mostFiles(), name, WEB_PORT));
    const command = ['nginx', '-c', join(folder, 'conf'), '-p', folder];
    const process = await this.#network(name, [...this.pin(LOAD_CPU), ...command]);
    const number = 2 + this.#containers++;
    const hosts = Array.from({ length: addresses }, (_, i) =>
      addressOf(i === 0 ? number : MORE_ADDRESSES + i),
    );
    ip(
      `link add port${number} type veth peer name eth0 netns ${process.pid}`,
      `link set port${number} master ${BRIDGE} up`,
    );
    ipIn(
      process,
      ...hosts.map((host) => `address add ${host}/16 dev eth0`),
      'link set eth0 up',
      `route add default via ${GATEWAY}`,
    );
    const [host] = hosts;
    await isUp(process, host, WEB_PORT);
    return { name, host, hosts, pid: process.pid, close: process.close };
  }

  /** Echoes WebSocket messages, in the network of a container. */
  async echo(container) {
    const script = scriptPath('echo-server.mjs');
    const net = ['nsenter', `--net=/proc/${container.pid}/ns/net`];
    const command = [...net, ...this.pin(LOAD_CPU), process.execPath, script, `${ECHO_PORT}`];
    const running = this.start('echo', command);
    await isUp(running, container.host, ECHO_PORT);
    return running;
  }

  /** A process that ends with the section; `close()` ends it earlier. */
  start(name, [file, ...args], env = process.env) {
    if (interrupted) throw new Error('interrupted');
    const child = spawn(file, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const gone = new Promise((resolve) => child.once('close', resolve));
    const running = { name, child, said: '', pid: child.pid, isAlive: () => isAlive(child) };
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => {
        running.said = (running.said + text).slice(-MAX_SAID_CHARS);
      });
    child.stdin.on('error', () => {}); // it may end without reading
    child.once('error', (error) => {
      running.said += error.message;
    });
    running.close = async () => {
      if (isAlive(child)) child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), END_MS);
      await gone.finally(() => clearTimeout(hard));
    };
    this.#ends.after(running.close);
    return running;
  }

  /** Forgets the connections of the runs before, closed ones: their ports would be in the way of the next. */
  forget() {
    spawnSync('conntrack', ['-F'], { stdio: 'ignore' });
  }

  /** The first process of a new network, which this answers when it is there. */
  async #network(name, command) {
    const own = readlinkSync('/proc/self/ns/net');
    const running = this.start(name, ['unshare', '--net', '--', 'sh', '-c', SET_UP, ...command]);
    await wait(running, () => readlinkSync(`/proc/${running.pid}/ns/net`) !== own);
    return running;
  }
}

/** Of this process and all that it starts, where that is allowed: without CAP_SYS_RESOURCE root cannot do it either. */
export function raiseFiles() {
  if (mostFiles() >= MANY_FILES) return;
  const words = ['--pid', `${process.pid}`, `--nofile=${MANY_FILES}:${MANY_FILES}`];
  spawnSync('prlimit', words, { stdio: 'ignore' });
}

/** How many a process of this run may have open. */
export function mostFiles() {
  const limit = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return limit === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(limit);
}

export function scriptPath(name) {
  return join(dirname(fileURLToPath(import.meta.url)), name);
}

/** Resolves when somebody accepts there; throws what the process said when it ends or takes too long. */
export function isUp(running, host, port) {
  return wait(running, () => accepts(host, port));
}

async function wait(running, check) {
  const done = await until(async () => !running.isAlive() || (await check()), START_MS);
  if (done && running.isAlive()) return;
  await running.close();
  throw new Error(`${running.name} did not start: ${running.said}`);
}

function isAlive({ pid, exitCode, signalCode }) {
  return pid !== undefined && exitCode === null && signalCode === null;
}

function accepts(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1_000 }, () => resolve(true));
    for (const event of ['error', 'close', 'timeout']) socket.once(event, () => resolve(false));
    for (const event of ['connect', 'timeout']) socket.once(event, () => socket.destroy());
  });
}

function ip(...lines) {
  batch([], lines);
}

function ipIn({ pid }, ...lines) {
  batch(['nsenter', `--net=/proc/${pid}/ns/net`], lines);
}

function batch(prefix, lines) {
  const [file, ...args] = [...prefix, 'ip', '-batch', '-'];
  const { status, stderr } = spawnSync(file, args, { input: `${lines.join('\n')}\n`, encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip could not make the network: ${stderr}`);
}
