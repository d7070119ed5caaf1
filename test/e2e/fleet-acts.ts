/**
 * What is done to a fleet's hosts and seen of them, in words that several end-to-end tests share: who is first in the
 * queue, a flaw that a release has on one host only, which container answers.
 */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keys } from '../../src/cluster/keys.ts';
import type { RolloutValue, StatusValue, TurnValue } from '../../src/cluster/values.ts';
import { dockerCall } from '../ground/docker.ts';
import { until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import { type Agent, type ComponentFile, type FleetShop, PROJECT, WAIT_MS } from './fleet.ts';
import { getText } from './shop.ts';

/** Of each engine its own, so that what is in it differs from host to host. */
const VOLUME = 'gantryd-e2e-flaw';
const FLAW = 'flaw';

/** They do nothing until they go on; what serves does. Shorter than their leases, or the fleet goes on without them. */
export function hold(agents: readonly Agent[]): void {
  for (const agent of agents) agent.signal('SIGSTOP');
}

/** Agents that are held go on, each once the one before it is in the queue: in this order they have their turns. */
export async function letQueue(shop: FleetShop, agents: readonly Agent[]): Promise<void> {
  for (const agent of agents) {
    const { name } = agent.host;
    agent.signal('SIGCONT');
    const isQueued = async () => (await turns(shop)).some((t) => t.host === name);
    await until(isQueued, { timeoutMs: WAIT_MS, what: `${name} to be in the queue` });
  }
}

/** In the order of the queue. */
export async function turns(shop: FleetShop, component = 'web'): Promise<readonly TurnValue[]> {
  const prefix = keys().project(PROJECT).turns(component).from;
  return (await shop.etcd.values(prefix, 'made')).map((line) => JSON.parse(line) as TurnValue);
}

export async function rolloutOf(shop: FleetShop, component = 'web'): Promise<RolloutValue> {
  const [rollout] = await shop.values<RolloutValue>(keys().project(PROJECT).rollout(component));
  assert.ok(rollout !== undefined, `there is a rollout of ${component}`);
  return rollout;
}

/** Waits for the status of one host. */
export async function untilOn(
  shop: FleetShop,
  host: Host,
  what: string,
  holds: (status: StatusValue) => boolean,
  component = 'web',
): Promise<StatusValue> {
  const seen = async () => (await shop.statuses(component)).find((s) => s.host === host.name && holds(s));
  return until(seen, { timeoutMs: WAIT_MS, what: `${host.name}: ${what}` });
}

/** The first host with a status like this. */
export async function firstWith(
  shop: FleetShop,
  what: string,
  holds: (status: StatusValue) => boolean,
): Promise<Host> {
  const seen = async () => (await shop.statuses()).find(holds)?.host;
  return shop.fleet.host(await until(seen, { timeoutMs: WAIT_MS, what: `a host: ${what}` }));
}

/** A release of `web` that on hosts with a flaw ends when it starts, or never becomes ready. */
export function flawedIn(way: 'starting' | 'readiness'): ComponentFile {
  const fails = {
    starting: `console.error('this host has a flaw'); process.exit(7)`,
    readiness: `console.log('this host has a flaw'); process.env.READY_AFTER_MS = '600000'`,
  }[way];
  const program = `if (require('node:fs').existsSync('/host/${FLAW}')) { ${fails} }; import('/app/server.mjs')`;
  return {
    command: ['/bin/node', '-e', program],
    bindings: [{ external: VOLUME, volume: '/host', readOnly: true }],
  };
}

export async function setFlaw(host: Host, there: boolean): Promise<void> {
  const made = await dockerCall('POST', '/volumes/create', { Name: VOLUME }, [201], host.docker);
  const file = join((made as { Mountpoint: string }).Mountpoint, FLAW);
  await (there ? writeFile(file, '') : rm(file, { force: true }));
}

/** The short id of the container that answers on a host, and its version. */
export async function answering(shop: FleetShop, host: Host): Promise<{ id: string; version: string }> {
  const said = JSON.parse(await getText(shop.http(host), '/')) as { hostname: string; version: string };
  return { id: said.hostname, version: said.version };
}

/** The same of all hosts, by their names. */
export async function allAnswering(shop: FleetShop): Promise<Readonly<Record<string, string>>> {
  const told = shop.hosts.map(async (host) => {
    const { id, version } = await answering(shop, host);
    return [host.name, `${version} ${id}`] as const;
  });
  return Object.fromEntries(await Promise.all(told));
}

/** Waits until every host answers with this version. */
export async function untilAnswering(shop: FleetShop, version: string): Promise<void> {
  for (const host of shop.hosts) {
    const isIt = async () => (await getText(shop.http(host), '/version')) === version;
    await until(isIt, { timeoutMs: WAIT_MS, what: `${host.name} to answer as ${version}` });
  }
}

/** Ids of all there are, on all hosts, sorted. */
export async function containerIds(shop: FleetShop): Promise<readonly string[]> {
  const all = await Promise.all(shop.hosts.map((host) => shop.containers(host)));
  return all
    .flat()
    .map((c) => c.id)
    .sort();
}

/** Waits until no host has any container of `web`. */
export async function untilGone(shop: FleetShop): Promise<void> {
  const isGone = async () => (await containerIds(shop)).length === 0;
  await until(isGone, { timeoutMs: WAIT_MS, what: 'all containers to be gone' });
}

/** What happens when a host is away for longer than its lease: all that its agent told goes. Gone already is success. */
export async function expireKeys(shop: FleetShop, host: Host, component = 'web'): Promise<void> {
  const key = keys().project(PROJECT).status(component, host.name);
  const told = await shop.etcd.control('get', key, '-w', 'json');
  if (!told.includes('"kvs"')) return;
  const [, lease] = /"lease":(\d+)/.exec(told) ?? [];
  assert.ok(lease !== undefined, told);
  await shop.etcd.control('lease', 'revoke', BigInt(lease).toString(16));
}
