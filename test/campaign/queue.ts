/**
 * The queue of one component's rollout, as etcd's own history tells it: who had a turn at which revision, and whether
 * ever more hosts than may were on their way. Pure; what feeds it is in etcd-history.ts.
 */
import { followedKey, keys, lastPart } from '../../src/cluster/keys.ts';
import type { RolloutValue, StatusValue, TurnValue } from '../../src/cluster/values.ts';

/** One key as it became. */
export interface Change {
  readonly key: string;
  readonly revision: number;
  readonly createRevision: number;
  /** undefined: it was deleted. */
  readonly value: string | undefined;
  /** Of the key; '0': none. */
  readonly lease: string;
  /** Epoch milliseconds when this was heard. */
  readonly at: number;
}

interface Leased<T> {
  readonly value: T;
  readonly createRevision: number;
  readonly revision: number;
  readonly lease: string;
}

/** From when to when, as it was heard. */
interface Span {
  readonly release: number;
  readonly from: number;
  until: number;
}

/** What a member that is stopped has to tell is heard when it goes on. */
const LATEST_MS = 25_000;
/** A switch may be told a little after the turn that it was made in. */
const TOLD_MS = 5_000;
/** Nobody: in these spans a release needs no turn. */
const ANY = '';

const ON_THE_WAY = ['starting', 'watching'];

export class Queue {
  readonly #keys;
  readonly #prefix: string;
  readonly #project: string;
  readonly #component: string;
  readonly #maxParallel: number;
  readonly #turns = new Map<string, Leased<TurnValue>>();
  readonly #statuses = new Map<string, Leased<StatusValue>>();
  readonly #had = new Map<string, Span[]>();
  #rollout: RolloutValue | undefined;
  /** What must not have been. */
  readonly problems: string[] = [];
  /** The most hosts that were on their way at once. */
  most = 0;

  constructor(project: string, component: string, maxParallel: number) {
    this.#keys = keys().project(project);
    this.#prefix = this.#keys.statuses(component).from;
    this.#project = project;
    this.#component = component;
    this.#maxParallel = maxParallel;
  }

  /** All changes of one revision; revisions in their order. */
  take(changes: readonly Change[]): void {
    for (const change of changes) this.#set(change);
    const at = changes[0]?.at ?? 0;
    this.#remember(at);
    this.#check(changes[0]?.revision ?? 0);
  }

  /** Whether a host that was told to have switched to a release at this time had a turn for it, or needed none. */
  maySwitch(host: string, release: number, at: number): boolean {
    const spans = [...(this.#had.get(host) ?? []), ...(this.#had.get(ANY) ?? [])];
    return spans.some(
      (span) => span.release === release && span.from <= at + LATEST_MS && span.until >= at - TOLD_MS,
    );
  }

  #set(change: Change): void {
    const { key } = change;
    if (key.startsWith(this.#prefix)) put(this.#statuses, lastPart(key), change);
    const what = followedKey(keys(), this.#project, key);
    if (what === undefined || !('component' in what) || what.component !== this.#component) return;
    if (what.kind === 'turn') put(this.#turns, what.host, change);
    if (what.kind === 'rollout' && change.value !== undefined) this.#rollout = JSON.parse(change.value);
  }

  #holders(): readonly string[] {
    const queue = [...this.#turns].sort(([, a], [, b]) => a.createRevision - b.createRevision);
    return queue.slice(0, this.#maxParallel).map(([host]) => host);
  }

  #remember(at: number): void {
    const rollout = this.#rollout;
    if (rollout === undefined) return;
    const { release, state, kind, from } = rollout;
    const holders = state === 'running' || state === 'paused' ? [...this.#holders()] : [];
    if (kind === 'rollback' || from === 0 || state === 'done') holders.push(ANY);
    for (const [host, spans] of this.#had) {
      const last = spans.at(-1);
      const goesOn = holders.includes(host) && last?.release === release;
      if (last?.until === Number.POSITIVE_INFINITY && !goesOn) last.until = at;
    }
    for (const host of holders) {
      const spans = this.#had.get(host) ?? [];
      if (spans.at(-1)?.until !== Number.POSITIVE_INFINITY)
        spans.push({ release, from: at, until: Number.POSITIVE_INFINITY });
      this.#had.set(host, spans);
    }
  }

  /** A host says that it is on its way, under the lease of the turn that it has in the queue, and since it has it. */
  #check(revision: number): void {
    const rollout = this.#rollout;
    if (rollout === undefined || rollout.kind !== 'update' || rollout.from === 0) return;
    const onTheWay = [...this.#statuses]
      .filter(([host, { value, lease, revision: toldAt }]) => {
        const turn = this.#turns.get(host);
        if (turn === undefined || turn.createRevision > toldAt) return false;
        const same = turn.lease === lease && turn.value.generation === value.generation;
        return same && value.settled !== value.generation && ON_THE_WAY.includes(value.phase);
      })
      .map(([host]) => host);
    this.most = Math.max(this.most, onTheWay.length);
    const early = onTheWay.filter((host) => !this.#holders().includes(host));
    if (onTheWay.length <= this.#maxParallel && early.length === 0) return;
    this.problems.push(
      `at revision ${revision} ${onTheWay.join(' and ')} are on their way to release ${rollout.release}, ` +
        `and ${this.#holders().join(' and ') || 'nobody'} has a turn`,
    );
  }
}

function put<T>(into: Map<string, Leased<T>>, host: string, change: Change): void {
  const { value, createRevision, revision, lease } = change;
  if (value === undefined) into.delete(host);
  else into.set(host, { value: JSON.parse(value) as T, createRevision, revision, lease });
}
