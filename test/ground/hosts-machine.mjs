/**
 * One host, or a place without an engine: what holds its namespaces, its power switch, and the packets that it is
 * to lose. What dockerd keeps below /run it loses with the power, as a real host does, and keeps its data.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeCgroups } from './cgroups.mjs';
import { answering, FRUGAL, UNSET } from './dockerd.mjs';
import { answers, call } from './foreign-engine.mjs';
import { run, startHolder } from './hosts-backbone.mjs';
import { layDisk } from './hosts-disk.mjs';
import { identity, isAlive, signal } from './leftovers.mjs';

const END_MS = 30_000;
const POLL_MS = 10;
/** Arguments: the backbone's pid, our end there, hardware address, address, hostname, the command that holds. */
const BOOT = `
  backbone=$1 port=$2 hardware=$3 address=$4 name=$5
  shift 5
  hostname "$name"
  ip link set lo up
  ip link add eth0 address "$hardware" type veth peer name "$port" netns "$backbone"
  ip address add "$address/24" dev eth0
  ip link set eth0 up
  echo ready
  exec "$@" >&2`;
/** Its first process takes on and buries what containers leave, and all the others end with it. */
const OWN_PROCESSES = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--'];
/** An engine that ends well is started again, once no file keeps it down; one that fails takes all along. */
const WITH_OWN_RUN = `
  held=$1
  shift
  mount -t tmpfs tmpfs /run || exit
  while "$@" & wait $!; do
    while [ -e "$held" ]; do sleep 0.05; done
  done`;
const KINDS = ['net', 'uts'];
const CHAIN = 'CUT';

export class Machine {
  #backbone;
  #ground;
  #number;
  #port;
  #namespaces;
  #holder;
  #cuts = [];
  #isolated = false;

  constructor({ name, ground, folder, backbone, number, engine }) {
    this.name = name;
    this.folder = folder;
    this.address = backbone.addressOf(number);
    /** What to put before a command line, so that it runs on this machine; the same after each start. */
    this.prefix = ['nsenter', ...KINDS.map((kind) => `--${kind}=${join(folder, kind)}`), '--'];
    this.docker = engine ? `unix://${join(folder, 'docker.sock')}` : undefined;
    this.#backbone = backbone;
    this.#ground = ground;
    this.#number = number;
    this.#port = `port${number}`;
  }

  get up() {
    return this.#namespaces !== undefined;
  }

  /** Answers when its engine does. The cuts that there were are there again. */
  async start() {
    if (this.up) throw new Error(`${this.name} is up already`);
    const child = await startHolder({
      folder: this.#ground,
      log: join(this.folder, 'log'),
      command: ['sh', '-ec', BOOT, 'boot', ...this.#identity(), ...this.#holding()],
      env: { ...UNSET, ...FRUGAL.env },
    });
    this.#namespaces = this.#opened(child.pid);
    this.#holder = child.pid;
    if (this.#cuts.length > 0) await this.#drop(this.#cuts);
    if (!this.#isolated) await this.#backbone.plug(this.#port);
    if (this.docker !== undefined) await answering(child, this.docker, join(this.folder, 'log'));
  }

  /** Power off: first the network, then every process on it, containers with them. Off already is success. */
  async kill() {
    if (!this.up) return;
    const namespaces = this.#namespaces;
    this.#namespaces = undefined;
    await this.#backbone.remove(this.#port);
    await this.#end(() => processesIn(namespaces));
    for (const [kind, fd] of Object.entries(namespaces)) {
      rmSync(join(this.folder, kind));
      closeSync(fd);
    }
    await removeCgroups(this.#cgroup);
  }

  /** Ends what runs on it beside its engine and the engine's containers. */
  async clear() {
    const engine = (pid) => pid === this.#holder || linkOf(pid, 'pid') !== linkOf('self', 'pid');
    await this.#end(() => processesIn(this.#namespaces).filter((pid) => !engine(pid)));
  }

  /**
   * Ends the engine as a service manager does, and keeps it down; the host stays up. With `liveRestore` its containers
   * run on, as the daemon is told right before, else it stops them.
   */
  async stopEngine({ liveRestore = false } = {}) {
    const engine = processesIn(this.#namespaces).find((pid) => commandOf(pid) === 'dockerd');
    const known = identity(engine);
    this.#settle({ 'live-restore': liveRestore });
    signal(engine, 'SIGHUP');
    await this.#until('the engine to have read its settings', async () => {
      const { text } = await call(this.docker, 'GET', '/info');
      return JSON.parse(text).LiveRestoreEnabled === liveRestore;
    });
    writeFileSync(this.#held, '');
    signal(engine, 'SIGTERM');
    await this.#until('the engine to end', () => !isAlive(known));
  }

  /** Starts it again; answers when it does. */
  async startEngine() {
    rmSync(this.#held);
    await this.#until('the engine to answer', () => answers(this.docker));
  }

  async #until(what, holds) {
    for (const end = Date.now() + END_MS; Date.now() < end; await delay(POLL_MS)) if (await holds()) return;
    throw new Error(`${this.name} waited in vain for ${what}`);
  }

  /** From now on packets to and from `address` are lost, in silence; with `port`, those of this service there. */
  async cutOff({ address, port }) {
    const cut = { address, port };
    this.#cuts.push(cut);
    if (this.up) await this.#drop([cut]);
  }

  /** Unplugs it: whatever it sends is lost, and nothing reaches it, while its interface stays up. */
  async isolate() {
    this.#isolated = true;
    if (this.up) await this.#backbone.unplug(this.#port);
  }

  /** Ends all cuts and the isolation. */
  async heal() {
    const [cuts, isolated] = [this.#cuts, this.#isolated];
    this.#cuts = [];
    this.#isolated = false;
    if (!this.up) return;
    if (cuts.length > 0) await this.#filter('-F', CHAIN);
    if (isolated) await this.#backbone.plug(this.#port);
  }

  /** Its namespaces. Open, they stay what they are; by the pid they would be another's once it is taken again. */
  #opened(pid) {
    const open = (kind) => [kind, openSync(`/proc/${pid}/ns/${kind}`)];
    const namespaces = Object.fromEntries(KINDS.map(open));
    for (const [kind, fd] of Object.entries(namespaces))
      symlinkSync(`/proc/${process.pid}/fd/${fd}`, join(this.folder, kind));
    return namespaces;
  }

  async #end(processes) {
    const seen = new Map();
    for (const end = Date.now() + END_MS; Date.now() < end; await delay(POLL_MS)) {
      const found = processes();
      for (const pid of found) seen.set(pid, seen.get(pid) ?? identity(pid));
      for (const pid of found) signal(pid, 'SIGKILL');
      // The first process of the engine's ends last: it waits for all the others, those in containers too.
      if (![...seen.values()].some(isAlive)) return;
    }
    throw new Error(`processes of ${this.name} do not end`);
  }

  #identity() {
    const hardware = `02:00:00:00:00:${this.#number.toString(16).padStart(2, '0')}`;
    return [`${this.#backbone.pid}`, this.#port, hardware, this.address, this.name];
  }

  #holding() {
    if (this.docker === undefined) return ['sleep', 'infinity'];
    const data = join(this.folder, 'data');
    if (!existsSync(data)) {
      mkdirSync(data);
      layDisk(data);
    }
    this.#settle({});
    rmSync(this.#held, { force: true });
    const flags = ['--config-file', this.#settings, '--data-root', data, '--host', this.docker];
    return [...OWN_PROCESSES, 'sh', '-c', WITH_OWN_RUN, 'host', this.#held, 'dockerd', ...flags];
  }

  get #settings() {
    return join(this.folder, 'daemon.json');
  }

  get #held() {
    return join(this.folder, 'held-down');
  }

  /** Writes what the engine reads. */
  #settle(more) {
    const settings = {
      ...FRUGAL.settings,
      ...more,
      'insecure-registries': [this.#backbone.subnet],
      'exec-opts': ['native.cgroupdriver=cgroupfs'],
      'max-download-attempts': 1, // who tries again is gantryd
      'cgroup-parent': `/${this.#cgroup}`,
    };
    writeFileSync(this.#settings, JSON.stringify(settings));
  }

  get #cgroup() {
    return join(basename(this.#ground), this.name);
  }

  /** In a table that is looked at before Docker's, and before it is known where a packet goes. */
  async #drop(cuts) {
    if (!(await this.#filter('-S')).includes(`-N ${CHAIN}\n`)) {
      await this.#filter('-N', CHAIN);
      for (const hook of ['PREROUTING', 'OUTPUT']) await this.#filter('-I', hook, '-j', CHAIN);
    }
    for (const { address, port } of cuts)
      for (const [peer, end] of [
        ['-d', '--dport'],
        ['-s', '--sport'],
      ]) {
        const service = port === undefined ? [] : ['-p', 'tcp', end, `${port}`];
        await this.#filter('-A', CHAIN, peer, address, ...service, '-j', 'DROP');
      }
  }

  #filter(...args) {
    return run([...this.prefix, 'iptables', '-w', '-t', 'raw', ...args]);
  }
}

function processesIn({ net }) {
  const network = readlinkSync(`/proc/self/fd/${net}`);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && linkOf(name, 'net') === network)
    .map(Number);
}

function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined; // gone meanwhile
  }
}

function linkOf(pid, kind) {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined; // gone meanwhile, or a zombie
  }
}
