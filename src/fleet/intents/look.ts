/**
 * One look at what etcd holds of a project, for commands: what is wanted, how releases fared, what live hosts say.
 * Reads only; a value that no gantryd wrote reads as none, and its revision is kept so that a write can replace it.
 */
import { followedKey, type Keys, lastPart } from '../../cluster/keys.ts';
import type { Entry, Store } from '../../cluster/store.ts';
import {
  type ConfigValue,
  type DesiredValue,
  type HostValue,
  type OutcomeValue,
  type ReleaseValue,
  type RolloutValue,
  readConfig,
  readDesired,
  readHost,
  readOutcome,
  readRelease,
  readRollout,
  readScale,
  readStatus,
  readTurn,
  type ScaleValue,
  type StatusValue,
  type TurnValue,
} from '../../cluster/values.ts';
import { projectOfStored } from '../../config/load.ts';
import type { Project } from '../../config/project.ts';
import { didYouMean } from '../../config/suggest.ts';
import { GantryError } from '../../errors.ts';

export interface Fleet {
  readonly store: Store;
  readonly keys: Keys;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** A key as it was read: revision 0 where there is none. */
export interface Held<T> {
  readonly value: T | undefined;
  readonly modRevision: number;
}

/** What every agent of the project follows. */
export interface ProjectLook {
  readonly name: string;
  readonly config: Held<ConfigValue>;
  readonly desired: ReadonlyMap<string, Held<DesiredValue>>;
  readonly rollouts: ReadonlyMap<string, Held<RolloutValue>>;
  readonly scales: ReadonlyMap<string, Held<ScaleValue>>;
  /** By component, in the order of the queue. */
  readonly turns: ReadonlyMap<string, readonly TurnValue[]>;
}

/** What is known of one component beyond that. */
export interface ComponentLook {
  readonly name: string;
  readonly desired: Held<DesiredValue>;
  readonly rollout: Held<RolloutValue>;
  readonly scale: Held<ScaleValue>;
  /** By number, as their keys say it; a damaged one is undefined. */
  readonly releases: ReadonlyMap<number, ReleaseValue | undefined>;
  readonly outcomes: ReadonlyMap<number, OutcomeValue | undefined>;
  readonly statuses: readonly StatusValue[];
}

const NONE = { value: undefined, modRevision: 0 };
const UNFINISHED: readonly RolloutValue['state'][] = ['preparing', 'running', 'paused'];

export function isUnfinished(rollout: RolloutValue | undefined): rollout is RolloutValue {
  return rollout !== undefined && UNFINISHED.includes(rollout.state);
}

export async function lookAtProject({ store, keys }: Fleet, name: string): Promise<ProjectLook> {
  const { entries } = await store.list(keys.project(name).followed());
  return projectLook(keys, name, entries);
}

/** The same from entries that are at hand. Pure. */
export function projectLook(keys: Keys, name: string, entries: Iterable<Entry>): ProjectLook {
  let config: Held<ConfigValue> = NONE;
  const desired = new Map<string, Held<DesiredValue>>();
  const rollouts = new Map<string, Held<RolloutValue>>();
  const scales = new Map<string, Held<ScaleValue>>();
  const queued: { readonly component: string; readonly turn: TurnValue; readonly since: number }[] = [];
  for (const entry of entries) {
    const about = followedKey(keys, name, entry.key);
    if (about?.kind === 'config') config = held(entry, readConfig);
    if (about?.kind === 'desired') desired.set(about.component, held(entry, readDesired));
    if (about?.kind === 'rollout') rollouts.set(about.component, held(entry, readRollout));
    if (about?.kind === 'scale') scales.set(about.component, held(entry, readScale));
    const turn = about?.kind === 'turn' ? readTurn(entry) : undefined;
    if (about?.kind === 'turn' && turn !== undefined)
      queued.push({ component: about.component, turn, since: entry.createRevision });
  }
  const turns = new Map<string, TurnValue[]>();
  for (const { component, turn } of queued.sort((a, b) => a.since - b.since))
    turns.set(component, [...(turns.get(component) ?? []), turn]);
  return { name, config, desired, rollouts, scales, turns };
}

/** With what the config says. */
export interface ConfiguredLook extends ProjectLook {
  readonly project: Project;
}

/** project-unknown when no config was set, config-invalid when this version of gantryd cannot use it. */
export async function lookAtConfigured(fleet: Fleet, name: string): Promise<ConfiguredLook> {
  const look = await lookAtProject(fleet, name);
  if (look.config.value === undefined) throw projectUnknown(look);
  return { ...look, project: projectOfStored(look.config.value.file, name) };
}

export async function lookAtComponent(
  fleet: Fleet,
  look: ProjectLook,
  name: string,
  statuses?: readonly StatusValue[],
): Promise<ComponentLook> {
  const { store, keys } = fleet;
  const at = keys.project(look.name);
  const [releases, outcomes, live] = await Promise.all([
    store.list(at.releases(name)),
    store.list(at.outcomes(name)),
    statuses ?? statusesOf(fleet, look.name, name),
  ]);
  return {
    name,
    desired: look.desired.get(name) ?? NONE,
    rollout: look.rollouts.get(name) ?? NONE,
    scale: look.scales.get(name) ?? NONE,
    releases: numbered(releases.entries, readRelease),
    outcomes: numbered(outcomes.entries, readOutcome),
    statuses: live,
  };
}

export async function statusesOf(
  { store, keys }: Fleet,
  project: string,
  component: string,
): Promise<readonly StatusValue[]> {
  const { entries } = await store.list(keys.project(project).statuses(component));
  return entries.flatMap((entry) => readStatus(entry) ?? []);
}

/** By component. */
export async function allStatusesOf(
  { store, keys }: Fleet,
  project: string,
): Promise<ReadonlyMap<string, readonly StatusValue[]>> {
  return statusesIn((await store.list(keys.project(project).allStatuses())).entries);
}

/** The same from entries that are at hand. Pure. */
export function statusesIn(entries: Iterable<Entry>): ReadonlyMap<string, readonly StatusValue[]> {
  const statuses = new Map<string, StatusValue[]>();
  for (const entry of entries) {
    const status = readStatus(entry);
    if (status === undefined) continue;
    const component = entry.key.split('/').at(-2) ?? '';
    const known = statuses.get(component);
    if (known === undefined) statuses.set(component, [status]);
    else known.push(status);
  }
  return statuses;
}

/** The agents that run for the project now. */
export async function hostsOf({ store, keys }: Fleet, project: string): Promise<readonly HostValue[]> {
  return hostsIn((await store.list(keys.hosts())).entries, project);
}

/** The same from entries that are at hand. Pure. */
export function hostsIn(entries: Iterable<Entry>, project: string): readonly HostValue[] {
  return [...entries].filter((e) => lastPart(e.key) === project).flatMap((e) => readHost(e) ?? []);
}

/** In the config, ever deployed, or on a live host: in this order. */
export function knownNames(look: ProjectLook, reported: Iterable<string>): readonly string[] {
  return [...new Set([...configuredNames(look), ...look.desired.keys(), ...reported])];
}

/** Also of a config that this version of gantryd cannot use: what runs can be listed and stopped all the same. */
export function configuredNames({ config }: ProjectLook): readonly string[] {
  const components: unknown = config.value?.file.components;
  if (!Array.isArray(components)) return [];
  return components.flatMap((c: unknown) =>
    typeof c === 'object' && c !== null && 'name' in c && typeof c.name === 'string' ? [c.name] : [],
  );
}

/** Those that were named, or all; component-unknown for a name that is none of them. */
export function chosen(
  asked: readonly string[],
  known: readonly string[],
  project: string,
): readonly string[] {
  for (const name of asked) {
    if (known.includes(name)) continue;
    throw new GantryError(
      'component-unknown',
      `Project ${project} has no component ${name}${didYouMean(name, known)}`,
      { hint: known.length === 0 ? 'It has none at all.' : `Its components are: ${known.join(', ')}.` },
    );
  }
  return asked.length === 0 ? known : [...new Set(asked)];
}

export function projectUnknown({ name, config }: ProjectLook): GantryError {
  const set = `\`gantryd setconfig ${name} FILE\` sets it`;
  if (config.modRevision > 0) {
    const message = `The config of project ${name} was not written by this version of gantryd`;
    return new GantryError('cluster-failed', message, {
      hint: `Upgrade gantryd here, or replace it: ${set}.`,
    });
  }
  return new GantryError('project-unknown', `No config was set for a project ${name}`, {
    hint: `${set}; also check the name, --etcd and --etcd-prefix.`,
  });
}

function held<T>(entry: Entry | undefined, read: (entry: Entry) => T | undefined): Held<T> {
  return entry === undefined ? NONE : { value: read(entry), modRevision: entry.modRevision };
}

function numbered<T>(
  entries: readonly Entry[],
  read: (entry: Entry) => T | undefined,
): ReadonlyMap<number, T | undefined> {
  const all = entries.map((entry) => [Number(lastPart(entry.key)), read(entry)] as const);
  return new Map(all.filter(([number]) => Number.isSafeInteger(number)).sort(([a], [b]) => a - b));
}
