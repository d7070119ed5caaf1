/**
 * Thousands of open connections across what a host goes through: a deploy, a container that dies, an agent that is
 * killed, a proxy that is replaced, and in the end one that is killed, which cuts what goes through it and nothing that the
 * kernel leads. Those of a container that dies end with it, so the one that is killed holds none.
 */
import { readFileSync } from 'node:fs';
import { keys } from '../../../src/cluster/keys.ts';
import type { HostValue } from '../../../src/cluster/values.ts';
import { LABELS } from '../../../src/docker/spec.ts';
import { type Agent, type FleetShop, openFleetShop, PROJECT, WAIT_MS, WITH_LED } from '../../e2e/fleet.ts';
import { dockerCall } from '../../ground/docker.ts';
import { skipWithoutKernel } from '../../ground/far.ts';
import { type Cleanup, until } from '../../ground/harness.ts';
import type { Host } from '../../ground/hosts.ts';
import { Crowd, type Round } from './crowd.ts';
import { onlyHost, proxyPid, type Say, WEB } from './stage.ts';

export interface ConnectionsOptions {
  readonly connections: number;
  readonly say: Say;
}

export interface Connections {
  readonly connections: number;
  /** Of them, those that the kernel led; 0: this machine cannot. */
  readonly led: number;
  readonly openedMs: number;
  /** Containers that held them in the end, all of the first release. */
  readonly holders: number;
  readonly steps: readonly Step[];
  readonly reasons: readonly string[];
}

export interface Step extends Round {
  readonly name: string;
  /** Until it was done; then a round proved every connection. */
  readonly tookMs: number;
  /** Why it was left out. */
  readonly skipped?: string;
}

/** The proxy has two for each connection; and what else a process has open. */
const FDS_EACH = 2;
const FDS_MORE = 500;
const NO_SUCH_COMMAND = 2;
const INSTANCES = 2;
/** The last one: it cuts what goes through the proxy, as is told. */
const KILLED = 'the proxy killed with SIGKILL';
const FIELDS = {
  ...WITH_LED,
  instances: INSTANCES,
  readyTimeout: 60_000,
  environmentVariables: [{ name: 'SAY_HOST', value: '1' }],
};

export async function measureConnections(
  t: Cleanup,
  { connections, say }: ConnectionsOptions,
): Promise<Connections> {
  refuseFewFiles(connections);
  const shop = await openFleetShop(t, { hosts: ['a'] });
  const agent = await shop.agent(onlyHost(shop));
  await shop.deploy('v1', FIELDS);
  const crowd = new Crowd(t);
  const began = performance.now();
  const host = onlyHost(shop);
  const led = skipWithoutKernel === false ? shop.led(host).tcp : undefined;
  await crowd.open({ http: shop.http(host), tcp: shop.tcp(host), led, count: connections });
  const openedMs = performance.now() - began;
  say(`${connections} connections are open, after ${Math.round(openedMs)} ms`);
  const steps = await stepped(shop, agent, crowd, say);
  const holders = [...crowd.holders().keys()];
  await stillRunning(host, holders);
  return { connections, led: crowd.led, openedMs, steps, holders: holders.length, reasons: crowd.reasons };
}

async function stepped(shop: FleetShop, agent: Agent, crowd: Crowd, say: Say): Promise<readonly Step[]> {
  const host = onlyHost(shop);
  const all: readonly (readonly [name: string, act: () => Promise<string | undefined>])[] = [
    ['nothing, for comparison', async () => undefined],
    ['a deploy', () => deployed(shop)],
    ['a container killed and replaced', () => healed(host, agent)],
    ['the agent killed with SIGKILL and started again', () => restarted(shop, agent)],
    ['`gantryd proxy upgrade`', () => upgraded(host)],
    ['a deploy after all that', () => deployed(shop, 'v3')],
    [KILLED, () => killed(host)],
  ];
  const steps: Step[] = [];
  for (const [name, act] of all) {
    const began = performance.now();
    const skipped = await act();
    const tookMs = performance.now() - began;
    const round = await crowd.round();
    steps.push({ name, tookMs, ...round, ...(skipped === undefined ? {} : { skipped }) });
    say(
      `${name}: ${skipped ?? `${Math.round(tookMs)} ms`}, ${round.cut} cut of ${crowd.size}, ${round.cutLed} of ${crowd.led} led by the kernel`,
    );
  }
  return steps;
}

async function deployed(shop: FleetShop, version = 'v2'): Promise<undefined> {
  await shop.deploy(version, FIELDS);
}

async function healed(host: Host, agent: Agent): Promise<undefined> {
  const [killed = ''] = await ofLatest(host);
  const killedAt = Date.now();
  await dockerCall('POST', `/containers/${killed}/kill`, undefined, [204], host.docker);
  const replaced = () =>
    agent.events('switched').some(({ at, containers }) => {
      const now = containers as readonly string[];
      return Number(at) >= killedAt && now.length === INSTANCES && !now.includes(killed);
    });
  await until(replaced, { timeoutMs: WAIT_MS, what: 'another container to serve' });
}

async function restarted(shop: FleetShop, agent: Agent): Promise<undefined> {
  agent.signal('SIGKILL');
  await agent.ended;
  const { pid } = await shop.agent(agent.host);
  const serves = async () => {
    const [host] = await shop.values<HostValue>(keys().host(PROJECT, agent.host.name));
    const [status] = await shop.statuses();
    return host?.pid === pid && status?.phase === 'serving';
  };
  await until(serves, { timeoutMs: WAIT_MS, what: 'the new agent to serve' });
}

/** Done when another process is the proxy. */
async function upgraded(host: Host): Promise<string | undefined> {
  const before = await proxyPid(host);
  const { code, stdout, stderr } = await host.gantryd(['proxy', 'upgrade']);
  if (code === NO_SUCH_COMMAND) return 'skipped: this gantryd cannot upgrade its proxy';
  if (code !== 0) throw new Error(`proxy upgrade ended with ${code}: ${stdout}${stderr}`);
  if ((await proxyPid(host)) === before) throw new Error(`process ${before} is the proxy still`);
  return undefined;
}

/** Done when the next one is the proxy. */
async function killed(host: Host): Promise<undefined> {
  const before = await proxyPid(host);
  process.kill(before, 'SIGKILL');
  const isBack = async () => (await proxyPid(host).catch(() => before)) !== before;
  await until(isBack, { timeoutMs: WAIT_MS, what: 'the next proxy' });
}

/** Ids of the containers of the latest release. */
async function ofLatest(host: Host): Promise<readonly string[]> {
  const found = await host.containers({ [LABELS.component]: WEB });
  const releases = found.map(({ labels }) => Number(labels[LABELS.release]));
  return found.filter((_, i) => releases[i] === Math.max(...releases)).map(({ id }) => id);
}

/** An application knows itself by the beginning of its container's id. */
async function stillRunning(host: Host, holders: readonly string[]): Promise<void> {
  const found = await host.containers({ [LABELS.component]: WEB });
  const running = found.filter(({ state }) => state === 'running');
  const gone = holders.filter((name) => !running.some(({ id }) => id.startsWith(name)));
  if (gone.length > 0) throw new Error(`containers that hold connections are gone: ${gone.join(', ')}`);
}

/** Node asks for as many as it may have. */
function refuseFewFiles(connections: number): void {
  const [, most] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  const needed = connections * FDS_EACH + FDS_MORE;
  if (most === 'unlimited' || Number(most) >= needed) return;
  throw new Error(
    `${connections} connections take ${needed} open files, and a process may have ${most} here`,
  );
}
