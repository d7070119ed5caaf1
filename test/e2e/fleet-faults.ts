/**
 * What end-to-end tests of a fleet in trouble share: a release that becomes ready where the test lets it, a look from
 * outside at how many hosts are on their way at once, and what must be there when all is over.
 */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { keys } from '../../src/cluster/keys.ts';
import type { RolloutValue, StatusValue } from '../../src/cluster/values.ts';
import { dockerCall } from '../ground/docker.ts';
import { type Cleanup, until } from '../ground/harness.ts';
import type { Host } from '../ground/hosts.ts';
import type { Load } from '../ground/load.ts';
import { type Agent, type ComponentFile, type FleetShop, PROJECT, WAIT_MS } from './fleet.ts';
import { type Event, getText, lostNothing, releaseOf } from './shop.ts';

export const KEYS = keys().project(PROJECT);

/** Of each engine its own, so that every host has a gate. */
const VOLUME = 'gantryd-e2e-gate';
const GATE = 'open';
/** A look starts a Node, and gates stay closed for long. */
const GATE_LOOK_MS = 1_000;
/** A host's turn takes ten times as long, and a look asks every engine. */
const LOOK_EVERY_MS = 150;
const IS_OPEN = `process.exit(require('node:fs').existsSync('/gate/${GATE}') ? 0 : 1)`;

/** A `web` whose containers become ready once the gate of their host is open. */
export const GATED: ComponentFile = {
  bindings: [{ external: VOLUME, volume: '/gate', readOnly: true }],
  readyChecks: [
    { kind: 'exec', command: ['/bin/node', '-e', IS_OPEN], interval: GATE_LOOK_MS },
    { kind: 'http', path: '/health', port: 8080 }, // an open gate says nothing of who listens
  ],
  readyTimeout: 120_000,
};

export async function setGate(host: Host, open: boolean): Promise<void> {
  const made = await dockerCall('POST', '/volumes/create', { Name: VOLUME }, [201], host.docker);
  const file = join((made as { Mountpoint: string }).Mountpoint, GATE);
  await (open ? writeFile(file, '') : rm(file, { force: true }));
}

/** Waits until an agent has told of this, and answers the first. */
export async function tells(
  agent: Agent,
  kind: string,
  which: (event: Event) => boolean = () => true,
  timeoutMs = WAIT_MS,
): Promise<Event> {
  const what = `the agent on ${agent.host.name} to tell ${kind}`;
  return until(() => agent.events(kind).find(which), { timeoutMs, what });
}

/** Waits until an agent has gone a step towards the release. */
export function steps(agent: Agent, step: string, release = 2): Promise<Event> {
  return tells(agent, 'rollout-step', isStep(step, release));
}

export function isStep(step: string, release = 2): (event: Event) => boolean {
  return (e) => e.step === step && e.release === release;
}

/** When an agent did what: the first time at or after `from`. */
export function timeOf(agent: Agent, kind: string, which: (event: Event) => boolean, from = 0): number {
  const found = agent.events(kind).find((e) => which(e) && Number(e.at) >= from);
  assert.ok(found !== undefined, `${agent.host.name} told ${kind}\n${agent.stdout}`);
  return Number(found.at);
}

export interface Watch {
  /** Every time at which more than one host was on its way. */
  stop(): Promise<readonly string[]>;
}

/**
 * Looks again and again from outside on which hosts a release runs that they have not settled on. Engines are asked
 * first and etcd after: a host whose turn was over before another one began is settled by then.
 */
export function watchTurns(t: Cleanup, shop: FleetShop, release: number): Watch {
  const found: string[] = [];
  let stopped = false;
  const look = async () => {
    const running = await Promise.all(shop.hosts.map(async (host) => (await runs(host)) && host.name));
    const done = (await shop.statuses()).filter((s) => s.serving === release && s.settled === s.generation);
    const names = running.filter((name) => name !== false && !done.some((s) => s.host === name));
    if (names.length > 1) found.push(names.join(' and '));
  };
  const runs = async (host: Host) =>
    (await shop.containers(host)).some((c) => c.state === 'running' && releaseOf(c) === release);
  const looking = (async () => {
    for (; !stopped; await delay(LOOK_EVERY_MS)) await look();
  })();
  looking.catch(() => undefined); // stop() meets it
  const stop = async () => {
    stopped = true;
    await looking;
    return found;
  };
  t.after(async () => void (await stop().catch(() => undefined)));
  return { stop };
}

/** Whether a host has gone all the way to a release. */
export function isOn(release: number): (status: StatusValue) => boolean {
  return (s) => s.serving === release && s.phase === 'serving' && s.settled === s.generation;
}

/** Every host comes to serve the release and nothing else is left, the rollout is done, no client has noticed. */
export async function endsWhole(
  shop: FleetShop,
  { release, version, loads }: { release: number; version: string; loads: readonly Load[] },
): Promise<void> {
  const { hosts } = shop;
  await shop.untilStatus(
    'all hosts to be settled',
    (all) => all.length === hosts.length && all.every(isOn(release)),
  );
  for (const load of loads) await lostNothing(load);
  for (const host of hosts) {
    assert.equal(await getText(shop.http(host), '/version'), version);
    const isAlone = async () => {
      const all = await shop.containers(host);
      return all.length === 1 && all.every((c) => c.state === 'running' && releaseOf(c) === release);
    };
    await until(isAlone, { timeoutMs: WAIT_MS, what: `one container of release ${release} on ${host.name}` });
  }
  const over = async () => {
    const [rollout] = await shop.values<RolloutValue>(KEYS.rollout('web'));
    const turns = await shop.values(KEYS.turns('web').from);
    return rollout?.state === 'done' && rollout.release === release && turns.length === 0;
  };
  await until(over, { timeoutMs: WAIT_MS, what: 'the rollout to be done, with no turn left' });
}
