/**
 * Several hosts on one machine, for tests of a fleet: hosts.mjs with types, with gantryd on them, and with an end
 * at the latest when the test ends. Opened once per file, used by its tests one after the other, and cleared
 * between them. This process reaches every host by its address. What the hosts are to reach belongs on a place: a
 * packet filter of this machine may keep them from this process.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { type AppImage, containersWith, type ObservedContainer, removeContainer } from './docker.ts';
import { type Cleanup, skipWithoutEngine } from './harness.ts';
import { type Cli, cli, type Running, type RunOptions, type RunResult, run, start } from './processes.ts';

/** Who is not to be reached: all of a machine, or one service of it. */
export interface Cut {
  readonly address: string;
  readonly port?: number;
}

/** A machine without an engine: for etcd, a registry, a client of its own. */
export interface Place {
  readonly name: string;
  /** On the backbone, the same after each start. */
  readonly address: string;
  /** Its own folder, which it keeps. */
  readonly folder: string;
  readonly up: boolean;
  /** What to put before a command line, so that it runs there; the same after each start. */
  readonly prefix: readonly string[];
  /** Runs a command there to its end. */
  run(file: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts one that goes on; ended by `kill`, `fleet.clear` and the end of the fleet. */
  spawn(file: string, args: readonly string[], options?: RunOptions): Running;
  /** Power off: everything on it is gone at once. */
  kill(): Promise<void>;
  /** Power on again, with what was on its disk; answers when its engine does. */
  start(): Promise<void>;
  /** Packets to and from there are lost from now on, in silence, also after another start. */
  cutOff(from: Cut): Promise<void>;
  /** Unplugs it from the backbone: it sees nobody, nobody sees it. */
  isolate(): Promise<void>;
  /** Ends every cut and the isolation. */
  heal(): Promise<void>;
}

export interface Host extends Place {
  /** The address of its engine, which this process reaches too. */
  readonly docker: string;
  readonly stateDir: string;
  gantry: Cli['gantry'];
  gantryd: Cli['gantryd'];
  /** Starts a gantryd that goes on. */
  agent(args: readonly string[], options?: RunOptions): Running;
  /** Ends its engine in order and keeps it down; the host stays up. `liveRestore`: its containers run on, else they are stopped. */
  stopEngine(options: { readonly liveRestore: boolean }): Promise<void>;
  /** Starts it again; answers when it does. */
  startEngine(): Promise<void>;
  /** All on its engine, or those with all of these labels. */
  containers(labels?: Readonly<Record<string, string>>): Promise<readonly ObservedContainer[]>;
}

export interface Fleet {
  /** Of this process, as the machines see it when it connects to them. */
  readonly address: string;
  readonly subnet: string;
  readonly hosts: readonly Host[];
  host(name: string): Host;
  place(name: string): Place;
  /** Makes images of the example application, with equal ids on all hosts that are up, or on those named `on`. */
  images(images: readonly AppImage[], on?: readonly string[]): Promise<readonly string[]>;
  /**
   * Between tests. All machines up and healed, nothing running that `spawn` or `agent` started; on hosts no
   * processes but the engine, no containers, an empty state directory. Images stay, and on places what was
   * started by way of their `prefix`, as an etcd that all tests use.
   */
  clear(): Promise<void>;
}

export interface FleetOptions {
  readonly hosts: readonly string[];
  readonly places?: readonly string[];
}

interface Machine extends Pick<Place, 'name' | 'address' | 'folder' | 'up' | 'prefix'> {
  readonly docker: string | undefined;
  start(): Promise<void>;
  kill(): Promise<void>;
  stopEngine(options: { readonly liveRestore: boolean }): Promise<void>;
  startEngine(): Promise<void>;
  clear(): Promise<void>;
  cutOff(from: Cut): Promise<void>;
  isolate(): Promise<void>;
  heal(): Promise<void>;
}

interface Machines {
  readonly address: string;
  readonly subnet: string;
  readonly env: NodeJS.ProcessEnv;
  readonly machines: readonly Machine[];
  images(images: readonly AppImage[], on?: readonly string[]): Promise<string[]>;
  close(): Promise<void>;
}

/** For the `skip` option of a test that needs hosts. */
export const skipWithoutHosts: string | false =
  process.getuid?.() === 0 ? skipWithoutEngine : 'making hosts on this machine takes root';

export async function startHosts(t: Cleanup, options: FleetOptions): Promise<Fleet> {
  const file = pathToFileURL(join(PACKAGE_ROOT, 'test', 'ground', 'hosts.mjs')).href;
  const { openFleet } = (await import(file)) as { openFleet(options: FleetOptions): Promise<Machines> };
  const opened = await openFleet(options);
  const commands = new Commands();
  t.after(async () => {
    await commands.end();
    await opened.close();
  });
  const all = opened.machines.map((machine) => placeOn(machine, opened.env, commands));
  const hosts = all.filter(isHost);
  await Promise.all(hosts.map(({ stateDir }) => mkdir(stateDir)));
  return {
    address: opened.address,
    subnet: opened.subnet,
    hosts,
    host: (name) => named(hosts, name),
    place: (name) => named(all, name),
    images: (images, on) => opened.images(images, on),
    async clear() {
      await commands.end();
      await Promise.all(opened.machines.map(restored));
      await Promise.all(hosts.map(emptied));
    },
  };
}

/** What was started on the machines, by tests that come and go. */
class Commands implements Cleanup {
  #ends: (() => Promise<void> | void)[] = [];

  after(end: () => Promise<void> | void): void {
    this.#ends.push(end);
  }

  async end(): Promise<void> {
    await Promise.all(this.#ends.splice(0).map((end) => end()));
  }
}

function placeOn(machine: Machine, ground: NodeJS.ProcessEnv, commands: Commands): Place | Host {
  const stateDir = join(machine.folder, 'state');
  const env = { ...ground, DOCKER_HOST: machine.docker };
  const gantry = cli(commands, stateDir, env, machine.prefix);
  const merged = (options: RunOptions = {}) => ({ ...options, env: { ...gantry.env, ...options.env } });
  const line = (file: string, args: readonly string[]): [string, string[]] => {
    const [first = file, ...rest] = [...machine.prefix, file, ...args];
    return [first, rest];
  };
  const place = {
    name: machine.name,
    address: machine.address,
    folder: machine.folder,
    prefix: machine.prefix,
    get up() {
      return machine.up;
    },
    run: (file, args, options) => run(commands, ...line(file, args), merged(options)),
    spawn: (file, args, options) => start(commands, ...line(file, args), merged(options)),
    kill: () => machine.kill(),
    start: () => machine.start(),
    cutOff: (from) => machine.cutOff(from),
    isolate: () => machine.isolate(),
    heal: () => machine.heal(),
  } satisfies Place;
  const { docker } = machine;
  if (docker === undefined) return place;
  return Object.assign(place, {
    docker,
    stateDir,
    gantry: gantry.gantry,
    gantryd: gantry.gantryd,
    stopEngine: (options: { readonly liveRestore: boolean }) => machine.stopEngine(options),
    startEngine: () => machine.startEngine(),
    agent: (args: readonly string[], options?: RunOptions) => gantry.start('gantryd', args, options),
    containers: (labels = {}) => containersWith(labels, docker),
  });
}

function isHost(place: Place | Host): place is Host {
  return 'docker' in place;
}

function named<T extends Place>(places: readonly T[], name: string): T {
  const found = places.find((place) => place.name === name);
  if (found === undefined) throw new Error(`there is no ${name} here`);
  return found;
}

async function restored(machine: Machine): Promise<void> {
  await machine.heal();
  if (!machine.up) await machine.start();
  else if (machine.docker !== undefined) await machine.clear();
}

async function emptied({ docker, stateDir, containers }: Host): Promise<void> {
  const found = await containers();
  await Promise.all(found.map(({ id }) => removeContainer(id, docker)));
  await rm(stateDir, { recursive: true, force: true });
  await mkdir(stateDir);
}
