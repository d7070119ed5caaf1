/**
 * Decides how the total of a component is spread, together with the agents of the other hosts: whoever sees first that
 * it should be another way writes it, comparing the revision, and the others find it done. What is decided is
 * shares.ts; what a host does about its share is in its record.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ScaleMemory } from '../../agent/scale.ts';
import {
  FORMAT,
  type Instances,
  readRelease,
  readShares,
  readStatus,
  type ScaleValue,
  type SharesValue,
  type StatusValue,
} from '../../cluster/values.ts';
import type { Component } from '../../config/project.ts';
import { isUnfinished } from '../intents/look.ts';
import type { Wanted } from '../rollout.ts';
import type { Surroundings } from '../surroundings.ts';
import { forgottenScale, instancesWanted } from './scaling.ts';
import { type Course, type Decision, lateIn, nextDecision, type Spread, type SpreadHost } from './shares.ts';

/** Nothing to decide until something happens. */
const RESTS_MS = 30_000;
/** After a decision that another host's came before. */
const AGAIN_MS = 200;
/** A host that is to have more has as long as a container may take to be ready, and so much for all else. */
const LATE_MS = 60_000;
/** Then the others have the rest for so long, until it is tried again. */
const LATE_AGAIN_MS = 300_000;
/** Between two looks at a host that is late, while nobody could have its part. */
const LATE_LOOK_MS = 10_000;

/** How this host stands. */
export interface Sharing {
  readonly memory: ScaleMemory | undefined;
  /** Of the desired value that is followed. */
  readonly generation: number;
  /** Its record wants the desired release. */
  readonly isAt: boolean;
  /** Of the desired release, once it is known. */
  readonly spec: Component | undefined;
  /** As many containers serve here as are to, and so many they are. */
  readonly arrivedAt: number | undefined;
}

interface Running {
  readonly course: Course;
  readonly words?: string | undefined;
  /** Epoch milliseconds. */
  readonly dueAt: number;
}

export class SharesKeeper {
  readonly #around: Surroundings;
  readonly #component: string;
  /** Of the release that a rollout comes from. */
  #from: { readonly release: number; readonly total: number } | undefined;
  /** The decision that stands, and since when, by this host's clock. */
  #stands: { readonly number: number; readonly at: number } | undefined;

  constructor(component: string, around: Surroundings) {
    this.#component = component;
    this.#around = around;
  }

  /** Decides what is to be decided. Answers for how many milliseconds it may rest, if nothing happens. */
  async round(wanted: Wanted, sharing: Sharing): Promise<number> {
    const { presence, session, host } = this.#around;
    const { spec } = sharing;
    if (await this.#remind(wanted, sharing)) return AGAIN_MS;
    const total = await this.#total(wanted, sharing);
    if (total === undefined || spec === undefined || !wanted.current) return Number.POSITIVE_INFINITY;
    presence.start();
    if (!presence.current || session.lease() === undefined) return RESTS_MS;
    const { hosts, until, isUnclear } = this.#hosts(spec, wanted.shares?.value);
    const isHere = hosts.some((h) => h.host === host);
    if (!isHere || isUnclear) return this.#restMs(until);
    const spread: Spread = { component: this.#component, total, hosts };
    const { course, words, dueAt } = await this.#course(spec, wanted);
    const value = this.#decision(spread, wanted, sharing, course, words) ?? arrival(host, wanted, sharing);
    if (value === undefined || (await this.#knowsLess(value, wanted, sharing))) {
      return this.#restMs(Math.min(until, dueAt));
    }
    await this.#write(value, wanted);
    return AGAIN_MS;
  }

  /** Writes again what was asked for, where etcd has forgotten it. */
  async #remind(wanted: Wanted, sharing: Sharing): Promise<boolean> {
    const { store, keys, session, host } = this.#around;
    const { desired, scale, current } = wanted;
    if (!current || session.lease() === undefined || !sharing.isAt) return false;
    const forgotten = forgottenScale(wanted, sharing, sharing.spec);
    if (forgotten === undefined) return false;
    const by = `${host}, which remembers it`;
    const value: ScaleValue = { format: FORMAT, ...forgotten, by, at: this.#at() };
    const key = keys.scale(this.#component);
    const conditions = [
      { key, modRevision: scale?.modRevision ?? 0 },
      { key: keys.desired(this.#component), modRevision: desired?.modRevision ?? 0 },
    ];
    return (await store.commit(conditions, [{ kind: 'put', key, value: JSON.stringify(value) }])).done;
  }

  /** Whether hosts have had their time to grow; `words` say which have not, and why; `dueAt`: when to look again. */
  async #course({ readyTimeoutMs }: Component, { desired, rollout, shares }: Wanted): Promise<Running> {
    const now = this.#around.now();
    const present = shares?.value;
    const atOnce = desired?.value.status !== 'ready';
    const waits = present?.next !== undefined;
    if (present === undefined || atOnce || !(waits || present.late !== undefined)) {
      return { course: { atOnce }, dueAt: Number.POSITIVE_INFINITY };
    }
    // A host that grows with a release that goes round has to wait for that.
    const isOnItsWay = ['preparing', 'running'].includes(rollout?.value.state ?? '');
    const since = this.#since(present.number, isOnItsWay, now);
    const dueAt = since + (waits ? readyTimeoutMs + LATE_MS : LATE_AGAIN_MS);
    if (dueAt > now) return { course: {}, dueAt };
    if (!waits) return { course: { again: true }, words: againWords(present), dueAt: now + LATE_LOOK_MS };
    const late = await this.#late(present);
    return { course: { late: countsOf(late) }, words: lateWords(late), dueAt: now + LATE_LOOK_MS };
  }

  #since(number: number, isOnItsWay: boolean, now: number): number {
    const isSame = this.#stands?.number === number && !isOnItsWay;
    if (this.#stands === undefined || !isSame) this.#stands = { number, at: now };
    return this.#stands.at;
  }

  /** Of those that live, were to grow and have not. */
  async #late(present: SharesValue): Promise<readonly StatusValue[]> {
    const { store, keys, presence } = this.#around;
    const running = presence.running(this.#component);
    const names = lateIn(present).filter((name) => running.some((h) => h.host === name));
    const { entries } = await store.list(keys.statuses(this.#component));
    const hasLess = (status: StatusValue) => servingOf(status) < (present.next?.[status.host] ?? 0);
    const statuses = entries.flatMap((entry) => readStatus(entry) ?? []);
    return statuses.filter((status) => names.includes(status.host) && hasLess(status));
  }

  #restMs(until: number): number {
    return Math.min(RESTS_MS, Math.max(AGAIN_MS, until - this.#around.now()));
  }

  /** While a release goes round, what the one before it has is not taken away. undefined: it has none. */
  async #total(wanted: Wanted, { memory, generation, spec }: Sharing): Promise<number | undefined> {
    const instances = instancesWanted(wanted, { memory, generation }, spec);
    if (instances === undefined || typeof instances === 'number') return undefined;
    const rollout = wanted.rollout?.value;
    const isOwn = wanted.scale?.value === undefined && isUnfinished(rollout);
    if (!isOwn || rollout.from === 0) return instances.total;
    if (this.#from?.release !== rollout.from) {
      const { store, keys } = this.#around;
      const from = readRelease(await store.get(keys.release(this.#component, rollout.from)));
      this.#from = { release: rollout.from, total: from?.spec.total ?? 0 };
    }
    // Somebody may have scaled it, until this rollout's update had the last word.
    const { before, instances: asked } = memory ?? {};
    return Math.max(instances.total, this.#from.total, totalOf(before ?? asked));
  }

  /** Another total is for those to decide who know what was asked last: an etcd that was restored may not. */
  async #knowsLess({ total }: SharesValue, { scale, shares }: Wanted, { memory }: Sharing): Promise<boolean> {
    if (shares?.value.total === total) return false;
    const { store, keys } = this.#around;
    const known = Math.max(scale?.value.number ?? 0, memory?.number ?? 0);
    const { entries } = await store.list(keys.statuses(this.#component));
    return entries.some((entry) => (readStatus(entry)?.size?.scale ?? 0) > known);
  }

  /** Those that run it, and those that are not gone for long enough; `until` the first of these is. */
  #hosts({ hostLossTimeoutMs, spread }: Component, present: SharesValue | undefined) {
    const { presence, now } = this.#around;
    const running = presence.running(this.#component);
    const missing = Object.keys(present?.shares ?? {})
      .filter((name) => !running.some((h) => h.host === name))
      .map((name) => ({ host: name, lostAt: presence.lostAt(name, hostLossTimeoutMs) }))
      .filter(({ lostAt }) => lostAt > now());
    const groupOf = (labels: Readonly<Record<string, string>>) =>
      spread === undefined ? '' : (labels[spread] ?? '');
    const hosts: readonly SpreadHost[] = [
      ...running.map(({ host, labels }) => ({ host, group: groupOf(labels) })),
      ...missing.map(({ host }) => ({ host, group: groupOf(presence.known(host)?.labels ?? {}) })),
    ];
    const until = Math.min(...missing.map((m) => m.lostAt), Number.POSITIVE_INFINITY);
    // Nobody here knows to which group it belongs: others may.
    const isUnclear = spread !== undefined && missing.some(({ host }) => presence.known(host) === undefined);
    return { hosts, until, isUnclear };
  }

  #decision(
    spread: Spread,
    wanted: Wanted,
    { memory }: Sharing,
    course: Course,
    words: string | undefined,
  ): SharesValue | undefined {
    const present = wanted.shares?.value;
    const known = Math.max(present?.number ?? 0, memory?.decision ?? 0);
    const decision = nextDecision(spread, present, course);
    const again = isForgotten(present, memory, this.#around.host) ? present : undefined;
    if (decision === undefined && again === undefined) return undefined;
    const { total, shares, next, arrived, late } = decision ?? (again as Decision);
    return {
      ...{ format: FORMAT, number: known + 1, total, shares },
      ...(next === undefined ? {} : { next, arrived: arrived ?? [] }),
      ...(late === undefined ? {} : { late }),
      ...{ host: this.#around.host, why: whyOf(spread, present, decision, words), at: this.#at() },
    };
  }

  async #write(value: SharesValue, { shares }: Wanted): Promise<void> {
    const { store, keys } = this.#around;
    const key = keys.shares(this.#component);
    const modRevision = shares?.modRevision ?? (await this.#unreadable(key));
    if (modRevision === undefined) return;
    await store.commit([{ key, modRevision }], [{ kind: 'put', key, value: JSON.stringify(value) }]);
  }

  /** One that nobody can read is replaced; undefined: another host's is there, and will be known here in a moment. */
  async #unreadable(key: string): Promise<number | undefined> {
    const entry = await this.#around.store.get(key);
    return readShares(entry) === undefined ? (entry?.modRevision ?? 0) : undefined;
  }

  #at(): string {
    return new Date(this.#around.now()).toISOString();
  }
}

/** This host was to grow and has: it says so in the decision, which stays the same. */
function arrival(host: string, { shares }: Wanted, { memory, arrivedAt }: Sharing): SharesValue | undefined {
  const value = shares?.value;
  if (value?.next === undefined || memory?.decision !== value.number) return undefined;
  const { arrived = [] } = value;
  if (arrived.includes(host) || arrivedAt !== value.shares[host]) return undefined;
  return { ...value, arrived: [...arrived, host] };
}

/** An etcd that was restored has an older one, or one of the same number that is another: no host would follow it. */
function isForgotten(
  present: SharesValue | undefined,
  memory: ScaleMemory | undefined,
  host: string,
): boolean {
  if (present === undefined || memory === undefined || present.number > memory.decision) return false;
  if (present.number < memory.decision) return true;
  return Object.hasOwn(present.shares, host) && present.shares[host] !== memory.share;
}

function totalOf(instances: Instances | undefined): number {
  return typeof instances === 'object' ? instances.total : 0;
}

function whyOf(
  { total, hosts }: Spread,
  present: SharesValue | undefined,
  decision: Decision | undefined,
  words: string | undefined,
): string {
  if (present === undefined) return `${total} were to be spread`;
  if (decision === undefined) return 'etcd has forgotten the decision before';
  if (present.total !== total) return `${total} are wanted in all, not ${present.total}`;
  const names = hosts.map((h) => h.host);
  const lost = Object.keys(present.shares).filter((host) => !names.includes(host));
  const come = names.filter((host) => !Object.hasOwn(present.shares, host));
  if (lost.length > 0) return `${shown(lost)} ${lost.length === 1 ? 'is' : 'are'} gone`;
  if (come.length > 0) return `${shown(come)} ${come.length === 1 ? 'is' : 'are'} there`;
  if (words !== undefined) return words;
  if (present.next === undefined) return 'it was not even';
  const isSame = isDeepStrictEqual(present.shares, present.next);
  return isSame ? present.why : 'what moves serves in its new place';
}

function countsOf(statuses: readonly StatusValue[]): Readonly<Record<string, number>> {
  return Object.fromEntries(statuses.map((status) => [status.host, servingOf(status)]));
}

function servingOf({ containers }: StatusValue): number {
  return containers.filter((c) => c.state === 'serving').length;
}

function lateWords(late: readonly StatusValue[]): string | undefined {
  const [first] = late;
  if (first === undefined) return undefined;
  const why = first.why === '' ? '' : `: ${first.why}`;
  return `${shown(late.map((s) => s.host))} could not have more in time${why}`;
}

function againWords({ late = {} }: SharesValue): string {
  return `it is tried again to have more on ${shown(Object.keys(late))}`;
}

/** Most names that are worth reading. */
const SHOWN = 3;

function shown(hosts: readonly string[]): string {
  const rest = hosts.length - SHOWN;
  return rest > 0 ? `${hosts.slice(0, SHOWN).join(', ')} and ${rest} more` : hosts.join(', ');
}
