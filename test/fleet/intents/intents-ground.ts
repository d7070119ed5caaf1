/**
 * The ground of the tests of commands on a fleet: a memory store, a stored project, and what hosts would write, put
 * in by hand. `meddled` is a line to the store on which others come in between, and answers are lost.
 */
import { keys } from '../../../src/cluster/keys.ts';
import type { Committed, Condition, Entry, Store, Write } from '../../../src/cluster/store.ts';
import {
  type DesiredValue,
  type HostValue,
  type ReleaseValue,
  type RolloutValue,
  readDesired,
  readRelease,
  readRollout,
  type StatusContainer,
  type StatusValue,
} from '../../../src/cluster/values.ts';
import type { Component } from '../../../src/config/project.ts';
import { GantryError } from '../../../src/errors.ts';
import { update } from '../../../src/fleet/intents/intents.ts';
import type { Fleet } from '../../../src/fleet/intents/look.ts';
import { setConfig } from '../../../src/fleet/intents/stored-config.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';

export const PROJECT = 'shop';
export const AT = '2030-01-01T00:00:00.000Z';
export const KEYS = keys();
export const AT_KEYS = KEYS.project(PROJECT);

export interface Ground {
  readonly cluster: MemoryCluster;
  readonly store: MemoryStore;
  readonly fleet: Fleet;
}

export function ground(): Ground {
  const cluster = new MemoryCluster();
  const store = new MemoryStore(cluster);
  return { cluster, store, fleet: fleetOn(store) };
}

export function fleetOn(store: Store): Fleet {
  return { store, keys: KEYS, now: () => Date.parse(AT) };
}

/** With a config of these components. */
export async function shop(...components: readonly (string | Record<string, unknown>)[]): Promise<Ground> {
  const made = ground();
  await configure(made.fleet, components);
  return made;
}

export async function configure(
  fleet: Fleet,
  components: readonly (string | Record<string, unknown>)[],
): Promise<void> {
  const full = components.map((c) => (typeof c === 'string' ? { name: c, repo: c } : { repo: c.name, ...c }));
  await setConfig(fleet, { project: PROJECT, file: { project: PROJECT, components: full }, by: 'test@here' });
}

export const ask = (components: readonly string[] = [], by = 'ann@desk') => ({
  project: PROJECT,
  components,
  by,
});

export async function resolve({ image }: Component) {
  return { name: image, id: `sha256:${image}`, digests: [] };
}

export function updateOf(components: readonly string[] = [], by = 'ann@desk') {
  return { ...ask(components, by), resolve };
}

/** An update whose rollout then goes through. Answers its release. */
export async function shipped({ fleet, cluster }: Ground, component: string): Promise<number> {
  const { changes } = await update(fleet, updateOf([component]));
  complete(cluster, component);
  return changes[0]?.release ?? 0;
}

/** As the last host does. */
export function complete(cluster: MemoryCluster, component: string): void {
  const value = rolloutIn(cluster, component);
  writeRollout(cluster, component, { ...value, state: 'done', endedAt: AT });
  putIn(cluster, AT_KEYS.outcome(component, value.release), { format: 1, result: 'completed', at: AT });
}

export function writeRollout(cluster: MemoryCluster, component: string, value: RolloutValue): void {
  putIn(cluster, AT_KEYS.rollout(component), value);
}

export function putIn(cluster: MemoryCluster, key: string, value: object): void {
  cluster.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]);
}

export function desiredIn(cluster: MemoryCluster, component: string): DesiredValue {
  return required(readDesired(cluster.get(AT_KEYS.desired(component))), `desired of ${component}`);
}

export function rolloutIn(cluster: MemoryCluster, component: string): RolloutValue {
  return required(readRollout(cluster.get(AT_KEYS.rollout(component))), `rollout of ${component}`);
}

export function releaseIn(cluster: MemoryCluster, component: string, release: number): ReleaseValue {
  return required(readRelease(cluster.get(AT_KEYS.release(component, release))), `release ${release}`);
}

export function releasesIn(cluster: MemoryCluster, component: string): readonly number[] {
  return numbersOf(cluster.list(AT_KEYS.releases(component)).entries);
}

export function outcomesIn(cluster: MemoryCluster, component: string): readonly number[] {
  return numbersOf(cluster.list(AT_KEYS.outcomes(component)).entries);
}

/** What a host would tell; everything is well where a test does not say otherwise. */
export function status(host: string, over: Partial<StatusValue> = {}): StatusValue {
  const generation = over.generation ?? 1;
  const serving = over.serving ?? 1;
  return {
    format: 1,
    host,
    settled: generation,
    generation,
    known: { release: serving, generation },
    serving,
    phase: 'serving',
    why: '',
    containers: serving === 0 ? [] : [container(serving)],
    logs: [],
    since: AT,
    ...over,
  };
}

export function container(release: number, over: Partial<StatusContainer> = {}): StatusContainer {
  return {
    id: `${release}`.padEnd(64, 'c'),
    release,
    state: 'serving',
    connections: 0,
    check: '',
    startedAt: AT,
    ...over,
  };
}

export function tells(cluster: MemoryCluster, component: string, value: StatusValue): void {
  putIn(cluster, AT_KEYS.status(component, value.host), value);
}

export function host(name: string, over: Partial<HostValue> = {}): HostValue {
  return {
    format: 1,
    host: name,
    id: `id-of-${name}`,
    project: PROJECT,
    address: '10.0.0.1',
    version: '0.1.0',
    pid: 1,
    components: ['web'],
    labels: {},
    since: AT,
    ...over,
  };
}

export function joins(cluster: MemoryCluster, value: HostValue): void {
  putIn(cluster, KEYS.host(PROJECT, value.host), value);
}

/** What happens to one commit: somebody before it, its answer, somebody after it. */
export interface Meddling {
  readonly before?: () => unknown;
  /** `lost`: it is written and nobody hears of it; `dropped`: it never arrives. */
  readonly answer?: 'lost' | 'dropped';
  readonly after?: () => unknown;
}

/** A store whose first commits go as the list says. */
export function meddled(store: Store, list: readonly Meddling[]): Store {
  const left = [...list];
  const commit = async (conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> => {
    const { before, answer, after } = left.shift() ?? {};
    await before?.();
    const committed = answer === 'dropped' ? undefined : await store.commit(conditions, writes);
    await after?.();
    if (answer === undefined && committed !== undefined) return committed;
    throw new GantryError('cluster-unreachable', 'etcd does not answer', { retryable: true });
  };
  return {
    get: (key) => store.get(key),
    list: (range) => store.list(range),
    count: (range) => store.count(range),
    commit,
    session: (options) => store.session(options),
    follow: (options) => store.follow(options),
    close: () => store.close(),
  };
}

function numbersOf(entries: readonly Entry[]): readonly number[] {
  return entries.map((e) => Number(e.key.split('/').at(-1))).sort((a, b) => a - b);
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`there is no ${what}`);
  return value;
}
