/**
 * The network between hosts that are made on one machine: a bridge in a network namespace of its own. This
 * process reaches it by one interface, a veth whose other end is plugged into that bridge; nothing is forwarded,
 * and no packet filter or bridge of the network this process is in takes part. A network namespace lives as long
 * as its processes, and a veth as long as both its ends: killing the bridge's holder removes all of it.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SYSTEM_PATH } from './dockerd.mjs';
import { GROUND_VARIABLE } from './leftovers.mjs';

const COMMAND_MS = 30_000;
const READY_MS = 30_000;
const BRIDGE = 'backbone';
/** The /24s of 198.18.0.0/15, which RFC 2544 sets aside for networks that only test something. */
const NETWORKS = 512;
const OWN_NUMBER = 254;
const HOLD = `ip link set lo up && ip link add ${BRIDGE} type bridge && ip link set ${BRIDGE} up &&
  echo ready && exec sleep infinity >&2`;

/** Opens one for the processes of the ground `folder`, in whichever network namespace this process is. */
export async function openBackbone(folder) {
  const holder = await startHolder({
    folder,
    log: join(folder, 'backbone.log'),
    command: ['sh', '-ec', HOLD],
  });
  const door = await openDoor(holder.pid);
  const within = (command) => ['nsenter', `--net=/proc/${holder.pid}/ns/net`, '--', ...command];
  const link = (...args) => run(within(['ip', 'link', ...args]));
  const address = (number) => `${prefixOf(door.network)}.${number}`;
  await link('set', door.peer, 'master', BRIDGE, 'up');
  await run(['ip', 'address', 'add', `${address(OWN_NUMBER)}/24`, 'dev', door.name]);
  await run(['ip', 'link', 'set', door.name, 'up']);
  return {
    pid: holder.pid,
    /** Of this process. */
    address: address(OWN_NUMBER),
    subnet: `${address(0)}/24`,
    addressOf: address,
    plug: (port) => link('set', port, 'master', BRIDGE, 'up'),
    unplug: (port) => link('set', port, 'nomaster'),
    remove: (port) => removed(link('delete', port)),
    close: () => removed(run(['ip', 'link', 'delete', door.name])),
  };
}

/**
 * Starts `command` in new network and hostname namespaces and waits until it has printed `ready`; it writes its
 * errors to `log`. In a session of its own: no Ctrl-C ends it, but whoever removes the ground does.
 */
export async function startHolder({ folder, log, command, env = {} }) {
  const output = openSync(log, 'a');
  const path = `${process.env.PATH}:${SYSTEM_PATH}`;
  const child = spawn('unshare', ['--net', '--uts', '--', ...command], {
    detached: true,
    stdio: ['ignore', 'pipe', output],
    env: { ...process.env, ...env, PATH: path, [GROUND_VARIABLE]: folder },
  });
  closeSync(output);
  child.unref();
  const ended = once(child, 'close').then(([code]) => `it ended with ${code}`);
  const ready = once(child.stdout, 'data').then(() => undefined);
  const late = AbortSignal.timeout(READY_MS);
  const tooLate = once(late, 'abort').then(() => `it was not ready within ${READY_MS} ms`);
  const failure = await Promise.race([ready, ended, tooLate]);
  child.stdout.destroy();
  if (failure === undefined) return child;
  child.kill('SIGKILL');
  throw new Error(`a network namespace could not be made: ${failure}\n${readFileSync(log, 'utf8')}`);
}

/** Runs a command to its end; answers what it printed. */
export async function run([file, ...args]) {
  const env = { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH}:${SYSTEM_PATH}` };
  const { stdout } = await promisify(execFile)(file, args, { env, timeout: COMMAND_MS });
  return stdout;
}

/**
 * The interface by which this process reaches the bridge. Its name is that of the network, and a name can be
 * taken once: so whoever has it has the network, also among processes that choose at the same time.
 */
async function openDoor(pid) {
  const routes = await routesHere();
  const first = Math.floor(Math.random() * NETWORKS);
  for (let i = 0; i < NETWORKS; i++) {
    const network = (first + i) % NETWORKS;
    const door = { network, name: `gantry-f${network}`, peer: 'door' };
    const free = !routes.some((route) => overlaps(route, network));
    if (free && (await isAdded(door, pid))) return door;
  }
  throw new Error('every network of 198.18.0.0/15 is in use on this machine');
}

async function isAdded({ name, peer }, pid) {
  try {
    await run(['ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', peer, 'netns', `${pid}`]);
    return true;
  } catch (error) {
    if (/File exists/.test(error.stderr)) return false;
    throw error;
  }
}

async function routesHere() {
  const routes = JSON.parse(await run(['ip', '-json', '-4', 'route', 'show', 'table', 'all']));
  return routes.map(({ dst }) => dst).filter((dst) => /^\d+\./.test(dst));
}

function overlaps(route, network) {
  const [address, bits = '32'] = route.split('/');
  const size = 2 ** (32 - Math.min(24, Number(bits)));
  return blockOf(address, size) === blockOf(`${prefixOf(network)}.0`, size);
}

function blockOf(address, size) {
  return Math.floor(address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) / size);
}

function prefixOf(network) {
  return `198.${18 + (network >> 8)}.${network & 255}`;
}

/** It goes with its other end, too; gone already is success. */
async function removed(removing) {
  await removing.catch((error) => {
    if (!/Cannot find device|No such file/.test(error.stderr)) throw error;
  });
}
