/**
 * A fleet for end-to-end tests: real hosts, a real etcd and the built commands. One image of the example application
 * serves all; versions differ in an environment variable alone, so that a release is a `setconfig` and an `update`.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StatusValue } from '../../src/cluster/values.ts';
import { LABELS } from '../../src/docker/spec.ts';
import type { ObservedContainer } from '../ground/docker.ts';
import { type Etcd, type EtcdOptions, skipWithoutEtcd, startEtcd } from '../ground/etcd.ts';
import { skipWithoutKernel } from '../ground/far.ts';
import { type Cleanup, until } from '../ground/harness.ts';
import { type Fleet, type Host, skipWithoutHosts, startHosts } from '../ground/hosts.ts';
import { type LedPlaces, type Load, startLoad } from '../ground/load.ts';
import type { Running, RunResult } from '../ground/processes.ts';
import type { Place } from '../ground/requests.ts';
import { type From, rollOut, storeConfig } from './fleet-orders.ts';
import { type Event, exitedWith, toldBy, WAIT_MS } from './shop.ts';

export { WAIT_MS } from './shop.ts';

/** For the `skip` option. */
export const skipWithoutFleet: string | false = skipWithoutHosts || skipWithoutEtcd;

export const PROJECT = 'shop';
const TAG = 'gantryd-e2e-fleet:app';
/** The image of every component. */
export const APP = { repo: TAG.slice(0, TAG.indexOf(':')), tag: 'app' } as const;
const HTTP_PORT = 8080;
const TCP_PORT = 9000;
/** Where the kernel leads to the same two ports of the containers. */
const LED = { http: 8081, tcp: 9001 } as const;
/** Of whatever is asked of a fleet and waited for. */
const ORDER_MS = 120_000;
/** Of one request that takes its time, in the load. */
const SLOW_MS = 1_500;

export interface FleetShopOptions {
  readonly hosts?: readonly string[];
  /** Machines without an engine, beside the one etcd is on. */
  readonly places?: readonly string[];
  readonly etcd?: Pick<EtcdOptions, 'members' | 'tls' | 'flushes'>;
}

/** A component of the project file; name, image and ports of `web` are filled in. */
export type ComponentFile = Readonly<Record<string, unknown>>;

export interface Agent extends Running {
  readonly host: Host;
  /** What it told so far. */
  events(kind?: string): readonly Event[];
}

/** An order that goes on, told as JSON. */
export interface Order extends Running {
  events(kind?: string): readonly Event[];
}

export class FleetShop {
  readonly fleet: Fleet;
  readonly etcd: Etcd;

  constructor(fleet: Fleet, etcd: Etcd) {
    this.fleet = fleet;
    this.etcd = etcd;
  }

  get hosts(): readonly Host[] {
    return this.fleet.hosts;
  }

  /** What every command and agent needs to know. */
  get env(): NodeJS.ProcessEnv {
    return { GANTRYD_ETCD: this.etcd.endpoints.join(',') };
  }

  /** `gantryd ACTION shop …` on the first host, to its end. */
  gantryd(action: string, ...args: readonly string[]): Promise<RunResult> {
    return this.on(this.first, action, ...args);
  }

  on(host: Host, action: string, ...args: readonly string[]): Promise<RunResult> {
    const [command = '', ...more] = action.split(' ');
    return host.gantryd([command, ...more, PROJECT, ...args], { env: this.env, timeoutMs: ORDER_MS });
  }

  /** The same; fails the test when it exits with anything but 0. Answers stdout. */
  async must(action: string, ...args: readonly string[]): Promise<string> {
    const result = await this.gantryd(action, ...args);
    exitedWith(0, result);
    return result.stdout;
  }

  /** With --json, and goes on. */
  begin(action: string, ...args: readonly string[]): Order {
    const words = [action, PROJECT, ...args, '--json'];
    return telling(this.first.agent(words, { env: this.env }));
  }

  /** Starts `gantryd run`; answers once it runs. */
  async agent(host: Host | string, ...args: readonly string[]): Promise<Agent> {
    const on = typeof host === 'string' ? this.fleet.host(host) : host;
    const words = ['run', PROJECT, '--host-name', on.name, '--json', ...args];
    const running = on.agent(words, { env: this.env });
    await running.says('"kind":"running"', WAIT_MS);
    return Object.defineProperties(telling(running), { host: { value: on } }) as Agent;
  }

  agents(...args: readonly string[]): Promise<readonly Agent[]> {
    return Promise.all(this.hosts.map((host) => this.agent(host, ...args)));
  }

  /** What this process asks as the commands do. */
  get #order(): From {
    return { host: this.first, endpoints: this.etcd.endpoints, project: PROJECT };
  }

  /** Sets the project file: `web`, with this version and these fields, and other components. */
  async setConfig(
    version: string,
    web: ComponentFile = {},
    others: readonly ComponentFile[] = [],
  ): Promise<void> {
    const file = join(this.first.folder, 'shop.json');
    const { environmentVariables = [], ...rest } = web as { environmentVariables?: readonly unknown[] };
    const component = {
      ...{ name: 'web', ...APP, ports: PORTS, update: { monitor: 0 }, readyTimeout: 30_000 },
      readyChecks: [{ kind: 'http', path: '/health', port: HTTP_PORT }],
      ...rest,
      environmentVariables: [{ name: 'VERSION', value: version }, ...environmentVariables],
    };
    const components = [component, ...others.map((other) => ({ ...APP, ...other }))];
    await writeFile(file, JSON.stringify({ components }));
    await storeConfig(this.#order, file);
  }

  /** Sets this version and rolls it out; answers when every host serves it. */
  async deploy(
    version: string,
    web: ComponentFile = {},
    others: readonly ComponentFile[] = [],
  ): Promise<void> {
    await this.setConfig(version, web, others);
    await rollOut(this.#order, ORDER_MS);
  }

  /** Where a host's `web` is reached. */
  http(host: Host): Place {
    return { host: host.address, port: HTTP_PORT };
  }

  tcp(host: Host): Place {
    return { host: host.address, port: TCP_PORT };
  }

  /** Where the kernel leads, once a release has LED_PORTS. */
  led(host: Host): LedPlaces {
    const at = (port: number) => ({ host: host.address, port });
    return { http: at(LED.http), tcp: at(LED.tcp) };
  }

  /** Clients of every kind, on every host, from now on; `led`: also by the kernel, where this machine can. */
  async loads(
    t: Cleanup,
    hosts: readonly Host[] = this.hosts,
    { led = false } = {},
  ): Promise<readonly Load[]> {
    // A quarter of what one host gets alone, on all of them together: the machine is theirs.
    const easing = 4 * hosts.length;
    const of = (host: Host) => ({
      ...{ http: this.http(host), tcp: this.tcp(host) },
      led: led && skipWithoutKernel === false ? this.led(host) : undefined,
    });
    const on = (host: Host) => startLoad(t, { ...of(host), slowMs: SLOW_MS, easing });
    return Promise.all(hosts.map(on));
  }

  /** What every live host says of a component, straight from etcd. */
  async statuses(component = 'web'): Promise<readonly StatusValue[]> {
    return this.values(`/gantryd/projects/${PROJECT}/status/${component}/`);
  }

  /** The JSON values of all keys that begin so, in their order. */
  async values<T>(prefix: string): Promise<readonly T[]> {
    return (await this.etcd.values(prefix)).map((line) => JSON.parse(line) as T);
  }

  /** Of a component on a host, whatever their state. */
  async containers(host: Host, component = 'web'): Promise<readonly ObservedContainer[]> {
    return host.containers({ [LABELS.project]: PROJECT, [LABELS.component]: component });
  }

  async untilStatus(what: string, holds: (all: readonly StatusValue[]) => boolean, component = 'web') {
    await until(async () => holds(await this.statuses(component)), { timeoutMs: WAIT_MS, what });
  }

  /** As after opening: nothing runs, nothing is wanted. For between tests. */
  async clear(): Promise<void> {
    await this.fleet.clear();
    await this.etcd.wipe('/gantryd');
  }

  get first(): Host {
    const [host] = this.hosts;
    if (host === undefined) throw new Error('a fleet without hosts');
    return host;
  }
}

/** Open once per file, in `before`, and end it in `after`; clear between tests. */
export async function openFleetShop(t: Cleanup, options: FleetShopOptions = {}): Promise<FleetShop> {
  const { hosts = ['a', 'b', 'c'], places = [] } = options;
  const fleet = await startHosts(t, { hosts, places: ['etcd', ...places] });
  const { address, prefix } = fleet.place('etcd');
  const [etcd] = await Promise.all([
    startEtcd(t, { ...options.etcd, address, prefix }),
    fleet.images([{ tag: TAG, env: { VERSION: 'none' } }]),
  ]);
  return new FleetShop(fleet, etcd);
}

/** What opening leaves to be undone, run by `after`. */
export class Endings implements Cleanup {
  readonly #ends: (() => Promise<void> | void)[] = [];

  after(end: () => Promise<void> | void): void {
    this.#ends.unshift(end);
  }

  async run(): Promise<void> {
    for (const end of this.#ends.splice(0)) await end();
  }
}

export const PORTS: readonly ComponentFile[] = [
  { external: HTTP_PORT, container: HTTP_PORT, kind: 'http' },
  { external: TCP_PORT, container: TCP_PORT, kind: 'tcp' },
];

/** For the `ports` of `web`: those that it has by default, and the same on the plane of the kernel. */
export const LED_PORTS: readonly ComponentFile[] = [
  ...PORTS,
  { external: LED.http, container: HTTP_PORT, kind: 'tcp', plane: 'kernel' },
  { external: LED.tcp, container: TCP_PORT, kind: 'tcp', plane: 'kernel' },
];

/** A `web` with those, where this machine can. */
export const WITH_LED: ComponentFile = skipWithoutKernel === false ? { ports: LED_PORTS } : {};

function telling(running: Running): Order {
  return Object.assign(Object.create(running) as Running, { events: toldBy(running) });
}
