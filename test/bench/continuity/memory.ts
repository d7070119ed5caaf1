/**
 * What memory an agent takes with many components, and a proxy with many connections that are quiet, each in a process
 * of its own that did nothing before. RSS counts pages shared with other processes of Node; PSS their part of them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ensureProxy } from '../../../src/proxy/generations/launch.ts';
import { DEFAULT_LIMITS } from '../../../src/proxy/tables/routes.ts';
import { PACKAGE_ROOT } from '../../../src/version.ts';
import { type Agent, type ComponentFile, type FleetShop, openFleetShop } from '../../e2e/fleet.ts';
import { type Cleanup, freePort, tempFolder, until } from '../../ground/harness.ts';
import type { Place } from '../../ground/requests.ts';
import { Ends } from '../ends.ts';
import { askVersion, onlyHost, type Say } from './stage.ts';

export interface MemoryOptions {
  readonly components: number;
  readonly connections: number;
  readonly say: Say;
}

export interface Memory {
  readonly components: number;
  readonly connections: number;
  readonly agents: readonly Footprint[];
  readonly proxies: readonly Footprint[];
}

/** MiB. */
export interface Footprint {
  readonly name: string;
  /** Median of many looks. */
  readonly rss: number;
  readonly pss: number;
  /** Of all looks. */
  readonly mostRss: number;
  /** Since the process began. */
  readonly peak: number;
}

const FIRST_PORT = 20_000;
const HTTP_PORT = 8080;
const SETTLE_MS = { proxy: 5_000, agent: 20_000 } as const;
const LOOKS = 10;
const LOOK_MS = 1_000;
const START_MS = 30_000;
const SETTLED_MS = 240_000;
const AT_ONCE = 50;
const AT_A_TIME = 10;
const KIB_PER_MIB = 1024;
const ADDRESS = '127.0.0.1';

export async function measureMemory(t: Cleanup, options: MemoryOptions): Promise<Memory> {
  const { components, connections, say } = options;
  const proxies: Footprint[] = [];
  for (const crowd of crowdsOf(connections)) {
    const ends = new Ends();
    t.after(() => ends.close());
    proxies.push(await proxyWith(ends, crowd));
    await ends.close();
    say(told('proxy', proxies.at(-1)));
  }
  const agents: Footprint[] = [];
  for (const count of [0, components]) {
    const ends = new Ends();
    t.after(() => ends.close());
    agents.push(await agentWith(ends, count));
    await ends.close();
    say(told('agent', agents.at(-1)));
  }
  return { components, connections, agents, proxies };
}

interface Crowd {
  readonly name: string;
  readonly tcp: number;
  readonly http: number;
  readonly sockets: number;
}

function crowdsOf(connections: number): readonly Crowd[] {
  const half = connections / 2;
  const [tcp, http] = [Math.ceil(half), Math.floor(half)];
  return [
    { name: 'no connection', tcp: 0, http: 0, sockets: 0 },
    { name: `${connections} idle, half TCP, half HTTP keep-alive`, tcp, http, sockets: 0 },
    { name: `${connections} idle WebSockets`, tcp: 0, http: 0, sockets: connections },
  ];
}

/** The real process, before the example application as a process of this machine. */
async function proxyWith(t: Cleanup, { name, tcp, http, sockets }: Crowd): Promise<Footprint> {
  const ports = {
    http: await freePort(),
    tcp: await freePort(),
    app: await freePort(),
    lines: await freePort(),
  };
  const child = spawn(process.execPath, [join(PACKAGE_ROOT, 'examples', 'app', 'server.mjs')], {
    env: { ...process.env, PORT: `${ports.app}`, TCP_PORT: `${ports.lines}` },
    stdio: 'ignore',
  });
  const gone = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await gone;
  });
  const stateDir = await tempFolder(t);
  const proxy = await ensureProxy({ stateDir });
  const { pid } = await proxy.status();
  t.after(async () => {
    await proxy.stop(true);
    await until(() => !isAlive(pid), { timeoutMs: START_MS, what: 'the proxy to end' });
  });
  const listener = (port: number, kind: 'http' | 'tcp', containerPort: number) => {
    return { address: ADDRESS, port, kind, containerPort };
  };
  const listeners = [listener(ports.http, 'http', ports.app), listener(ports.tcp, 'tcp', ports.lines)];
  const routes = [{ component: 'app', listeners, backends: [{ id: 'app', host: ADDRESS }] }];
  await proxy.put('bench', { ifRevision: 0, table: { limits: DEFAULT_LIMITS, routes } });
  const to = (port: number): Place => ({ host: ADDRESS, port });
  await until(() => askVersion(to(ports.http)), { timeoutMs: START_MS, what: 'the application to answer' });
  const clients = new Clients(t);
  await clients.open(to(ports.tcp), tcp);
  await clients.open(to(ports.http), http, KEEP_ALIVE);
  await clients.open(to(ports.http), sockets, WEBSOCKET);
  const footprint = await footprintOf(pid, name, SETTLE_MS.proxy);
  clients.refuseLost();
  return footprint;
}

const KEEP_ALIVE = 'GET /version HTTP/1.1\r\nHost: app\r\n\r\n';
const WEBSOCKET =
  'GET /ws HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** Connections that say one thing, hear an answer, and are quiet from then on. */
class Clients {
  readonly #sockets: Socket[] = [];
  #lost = 0;
  #closing = false;

  constructor(t: Cleanup) {
    t.after(() => {
      this.#closing = true;
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  async open(place: Place, count: number, says = ''): Promise<void> {
    let left = count;
    const opening = async () => {
      while (left-- > 0) await this.#one(place, says);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, opening));
  }

  refuseLost(): void {
    if (this.#lost > 0) throw new Error(`${this.#lost} connections were lost while nothing was done to them`);
  }

  #one(place: Place, says: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect(place, () => void socket.write(says));
      this.#sockets.push(socket);
      socket.once('error', reject);
      socket.once('data', () => resolve());
      socket.once('close', () => {
        if (!this.#closing) this.#lost += 1;
      });
    });
  }
}

/** `gantryd run` with so many components of the example application, each with a port, a ready and a health check. */
async function agentWith(t: Cleanup, count: number): Promise<Footprint> {
  const shop = await openFleetShop(t, { hosts: ['a'] });
  const agent = await shop.agent(onlyHost(shop));
  const others = Array.from({ length: Math.max(0, count - 1) }, (_, i) =>
    componentOf(`c${i}`, FIRST_PORT + i),
  );
  if (count > 0) await startedInTurn(shop, agent, others);
  return footprintOf(agent.pid, `${count} components`, SETTLE_MS.agent);
}

/** What many starts at once cost is not asked here. */
async function startedInTurn(shop: FleetShop, agent: Agent, others: readonly ComponentFile[]): Promise<void> {
  await shop.setConfig('v1', CHECKED, others);
  const names = ['web', ...others.map(({ name }) => String(name))];
  for (let begun = 0; begun < names.length; begun += AT_A_TIME) {
    const some = names.slice(begun, begun + AT_A_TIME);
    await shop.must('update', ...some.flatMap((name) => ['-c', name]));
    const isSettled = (component: string) =>
      agent.events('rollout-step').some((e) => e.step === 'settle' && e.component === component);
    await until(() => some.every(isSettled), { timeoutMs: SETTLED_MS, what: `${some.join(', ')} to serve` });
  }
}

const CHECK = { kind: 'http', path: '/health', port: HTTP_PORT };
const CHECKED = {
  readyChecks: [CHECK],
  healthChecks: [CHECK],
  readyTimeout: 240_000,
  update: { monitor: 0 },
};

function componentOf(name: string, external: number) {
  return { name, ...CHECKED, ports: [{ external, container: HTTP_PORT, kind: 'http' }] };
}

/** Of a process, once it has been left alone for so long. */
export async function footprintOf(pid: number, name: string, settleMs: number): Promise<Footprint> {
  await delay(settleMs);
  const rss: number[] = [];
  const pss: number[] = [];
  for (let look = 0; look < LOOKS; look++) {
    rss.push(mib(pid, 'status', 'VmRSS'));
    pss.push(mib(pid, 'smaps_rollup', 'Pss'));
    await delay(LOOK_MS);
  }
  const peak = mib(pid, 'status', 'VmHWM');
  return { name, rss: middle(rss), pss: middle(pss), mostRss: Math.max(...rss), peak };
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function mib(pid: number, file: string, field: string): number {
  const text = readFileSync(`/proc/${pid}/${file}`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / KIB_PER_MIB;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function told(what: string, footprint: Footprint | undefined): string {
  return `${what}, ${footprint?.name}: ${Math.round(footprint?.rss ?? 0)} MiB`;
}
