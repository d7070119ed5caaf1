/**
 * A host with a bridge of containers, and a remote machine: each is a network namespace with a process in it. All of
 * it is gone when the test is over, since a namespace lives as long as its process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../../src/proxy/kernel/command.ts';
import type { KernelTarget } from '../../../src/proxy/kernel/plane.ts';
import type { Deeds } from './actor.ts';

const ACTOR = fileURLToPath(new URL('./actor.js', import.meta.url));
export const BRIDGE = 'br-shop';
/** As with Docker: a bridge without an address of its own may take another when a container goes. */
const BRIDGE_MAC = '02:42:ac:1f:00:01';
export const HOST = { ip4: '198.51.100.1', ip6: 'fd00:51::1' };
export const SERVICE = 8080;

type Answer<D extends keyof Deeds> = Awaited<ReturnType<Deeds[D]>>;

/** A process in a network. */
export class Actor {
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, { done: (answer: never) => void; failed: (error: Error) => void }>();
  #last = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', ({ id, answer, error }: { id: number; answer: never; error?: object }) => {
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (error === undefined) asked?.done(answer);
      else asked?.failed(Object.assign(new Error(), error));
    });
    child.once('exit', () => {
      for (const { failed } of this.#asked.values()) failed(new Error('the process has ended'));
    });
  }

  /** In a new network, or in that of another one; `within` is a command that runs the one that follows it. */
  static async start(beside?: Actor, within: readonly string[] = []): Promise<Actor> {
    const [file, net] =
      beside === undefined ? ['unshare', '--net'] : ['nsenter', `--net=/proc/${beside.pid}/ns/net`];
    const child = spawn(file, [net, ...within, process.execPath, ACTOR], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const actor = new Actor(child);
    await new Promise<unknown>((done, failed) => actor.#asked.set(0, { done, failed }));
    return actor;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  do<D extends keyof Deeds>(deed: D, ...args: Parameters<Deeds[D]>): Promise<Answer<D>> {
    const id = ++this.#last;
    return new Promise((done, failed) => {
      this.#asked.set(id, { done, failed });
      this.#child.send({ id, deed, args });
    });
  }

  /** SIGKILL; answers when it is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  /** Runs a command in this network; throws when it fails. */
  async run(file: string, ...args: string[]): Promise<string> {
    return command('nsenter', [`--net=/proc/${this.pid}/ns/net`, '--', file, ...args]);
  }
}

export interface Container {
  readonly actor: Actor;
  readonly ip4: string;
  readonly ip6: string;
  /** As the plane is told of it. */
  readonly target: KernelTarget;
}

export class Host {
  /** Keeps the plane. */
  keeper: Actor;
  /** A client on the host itself. */
  readonly local: Actor;
  /** A client on another machine. */
  readonly remote: Actor;
  readonly stateDir: string;
  readonly #actors: Actor[];
  #containers = 0;

  private constructor(actors: { keeper: Actor; local: Actor; remote: Actor }, stateDir: string) {
    this.keeper = actors.keeper;
    this.local = actors.local;
    this.remote = actors.remote;
    this.#actors = Object.values(actors);
    this.stateDir = stateDir;
  }

  static async open(): Promise<Host> {
    const [local, remote] = await Promise.all([Actor.start(), Actor.start()]);
    await batch(local, [
      'link set lo up',
      `link add ${BRIDGE} address ${BRIDGE_MAC} type bridge`,
      `link set ${BRIDGE} up`,
      `address add 172.30.0.1/24 dev ${BRIDGE}`,
      `address add fd00:30::1/64 dev ${BRIDGE} nodad`,
      `link add eth0 type veth peer name eth0 netns ${remote.pid}`,
      `address add ${HOST.ip4}/24 dev eth0`,
      `address add ${HOST.ip6}/64 dev eth0 nodad`,
      'link set eth0 up',
    ]);
    await local.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    await batch(remote, [
      'link set lo up',
      'address add 198.51.100.2/24 dev eth0',
      'address add fd00:51::2/64 dev eth0 nodad',
      'link set eth0 up',
      `route add default via ${HOST.ip4}`,
    ]);
    const stateDir = await mkdtemp(join(tmpdir(), 'gantryd-kernel-'));
    const keeper = await Actor.start(local);
    await keeper.do('open', stateDir);
    return new Host({ keeper, local, remote }, stateDir);
  }

  /** One that says `name` to whoever connects. */
  async container(name: string): Promise<Container> {
    const actor = await Actor.start();
    this.#actors.push(actor);
    const number = 1 + ++this.#containers;
    const [ip4, ip6] = [`172.30.0.${number}`, `fd00:30::${number}`];
    await batch(this.local, [
      `link add port${number} type veth peer name eth0 netns ${actor.pid}`,
      `link set port${number} master ${BRIDGE} up`,
    ]);
    await batch(actor, [
      'link set lo up',
      `address add ${ip4}/24 dev eth0`,
      `address add ${ip6}/64 dev eth0 nodad`,
      'link set eth0 up',
      'route add default via 172.30.0.1',
      'route add ::/0 via fd00:30::1',
    ]);
    await actor.do('serve', name, SERVICE);
    return { actor, ip4, ip6, target: { id: name, host: ip4, port: SERVICE, weight: 1, pid: actor.pid } };
  }

  /** Another keeper in place of the one there was; `within` is a command that runs it. */
  async newKeeper(within: readonly string[] = []): Promise<void> {
    this.keeper = await Actor.start(this.local, within);
    this.#actors.push(this.keeper);
    await this.keeper.do('open', this.stateDir);
  }

  async close(): Promise<void> {
    await Promise.all(this.#actors.map((actor) => actor.kill()));
    await rm(this.stateDir, { recursive: true, force: true });
  }
}

async function batch(actor: Actor, lines: readonly string[]): Promise<void> {
  await command(
    'nsenter',
    [`--net=/proc/${actor.pid}/ns/net`, '--', 'ip', '-batch', '-'],
    `${lines.join('\n')}\n`,
  );
}

async function command(file: string, args: readonly string[], input = ''): Promise<string> {
  const { status, stdout, stderr } = await runCommand(file, args, input);
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`);
  return stdout;
}
