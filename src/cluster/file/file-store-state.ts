/** What the file of a file store holds, as text and as a value, and what a commit makes of it. Pure. */
import { GantryError } from '../../errors.ts';
import type { Committed, Condition, Entry, Listing, Range, Write } from '../store.ts';
import { count, each, FORMAT, fields, optional, reader, text } from '../value-reader.ts';
import type { ProcessId } from './file-store-process.ts';

export interface Stored extends Entry {
  readonly lease?: string;
}

export interface Lease {
  readonly id: string;
  /** It ends with this process. */
  readonly process: ProcessId;
  /** Or then, by sharedNow: it was left to end by itself. */
  readonly endsAt?: number;
}

export interface State {
  readonly revision: number;
  readonly entries: ReadonlyMap<string, Stored>;
  readonly leases: ReadonlyMap<string, Lease>;
}

/** Of a file that is not there yet. */
export const EMPTY: State = { revision: 1, entries: new Map(), leases: new Map() };
/** As etcd's, so that what works on one box works in a fleet. */
const MAX_WRITES = 128;

interface Written {
  readonly revision: number;
  readonly leases: readonly Lease[];
  readonly entries: readonly Stored[];
}

const read = reader<Written>({
  revision: count,
  leases: each(
    fields({ id: text, process: fields({ boot: text, pid: count, start: text }), endsAt: optional(count) }),
  ),
  entries: each(
    fields({ key: text, value: text, createRevision: count, modRevision: count, lease: optional(text) }),
  ),
});

/** undefined: no store of this format wrote it. */
export function stateOf(json: string): State | undefined {
  const written = read({ value: json });
  if (written === undefined) return undefined;
  return {
    revision: written.revision,
    entries: new Map(written.entries.map((stored) => [stored.key, stored])),
    leases: new Map(written.leases.map((lease) => [lease.id, lease])),
  };
}

export function textOf({ revision, entries, leases }: State): string {
  const head = JSON.stringify({ format: FORMAT, revision, leases: [...leases.values()] });
  const lines = [...entries.values()].map(lineOf);
  return `${head.slice(0, -1)},"entries":[\n${lines.join(',\n')}\n]}\n`;
}

/** Entries never change, and a commit leaves most as they were: writing them anew was half of what it cost. */
const knownLines = new WeakMap<Stored, string>();

function lineOf(stored: Stored): string {
  const known = knownLines.get(stored);
  if (known !== undefined) return known;
  const line = JSON.stringify(stored);
  knownLines.set(stored, line);
  return line;
}

export function entryOf(state: State, key: string): Entry | undefined {
  const stored = state.entries.get(key);
  return stored && plain(stored);
}

export function listingOf(state: State, { from, to }: Range): Listing {
  const found = [...state.entries.values()].filter(({ key }) => key >= from && key < to);
  return { entries: found.sort(byKey).map(plain), revision: state.revision };
}

/** Leases of these that hold keys. */
export function holding(state: State, leases: ReadonlySet<string>): boolean {
  if (leases.size === 0) return false;
  return [...state.entries.values()].some(({ lease }) => lease !== undefined && leases.has(lease));
}

/** A state that is being changed. Whatever throws has changed nothing. */
export class Draft {
  #revision: number;
  readonly #entries: Map<string, Stored>;
  readonly #leases: Map<string, Lease>;
  #changed = false;

  constructor(state: State) {
    this.#revision = state.revision;
    this.#entries = new Map(state.entries);
    this.#leases = new Map(state.leases);
  }

  /** Whether it is worth writing: a lease that is gone and held nothing is not. */
  get changed(): boolean {
    return this.#changed;
  }

  state(): State {
    return { revision: this.#revision, entries: this.#entries, leases: this.#leases };
  }

  /** As store.ts says. `granted`: leases that hold nothing yet, and are not in the file therefore. */
  commit(
    conditions: readonly Condition[],
    writes: readonly Write[],
    granted: ReadonlyMap<string, Lease> = new Map(),
  ): Committed {
    if (new Set(writes.map(({ key }) => key)).size < writes.length || writes.length > MAX_WRITES)
      throw new GantryError('cluster-failed', `a key is written twice, or more than ${MAX_WRITES} are`);
    if (!conditions.every((c) => this.#holds(c))) return { done: false, revision: this.#revision };
    const leases = writes.flatMap((w) => (w.kind === 'put' && w.lease !== undefined ? [w.lease] : []));
    for (const lease of leases) this.#require(lease, granted);
    for (const lease of leases) this.#grant(granted.get(lease));
    this.#write(writes);
    return { done: true, revision: this.#revision };
  }

  /** Ends them and deletes their keys, as one write. */
  end(leases: Iterable<string>): void {
    const ended = new Set(leases);
    for (const id of ended) this.#leases.delete(id);
    const gone = [...this.#entries.values()].filter(({ lease }) => lease !== undefined && ended.has(lease));
    this.#write(gone.map(({ key }) => ({ kind: 'delete', key })));
  }

  /** Leaves it to end by then. */
  leave(id: string, endsAt: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    this.#leases.set(id, { ...lease, endsAt });
    this.#changed = true;
  }

  #holds(condition: Condition): boolean {
    const { modRevision = 0, createRevision = 0 } = this.#entries.get(condition.key) ?? {};
    return 'modRevision' in condition
      ? condition.modRevision === modRevision
      : condition.createRevision === createRevision;
  }

  #require(lease: string, granted: ReadonlyMap<string, Lease>): void {
    if (!this.#leases.has(lease) && !granted.has(lease))
      throw new GantryError('cluster-failed', `the lease ${lease} has ended`);
  }

  #grant(lease: Lease | undefined): void {
    if (lease !== undefined && !this.#leases.has(lease.id)) this.#leases.set(lease.id, lease);
  }

  #write(writes: readonly Write[]): void {
    const effective = writes.filter(({ kind, key }) => kind === 'put' || this.#entries.has(key));
    if (effective.length === 0) return;
    this.#changed = true;
    this.#revision += 1;
    for (const write of effective) this.#apply(write);
  }

  #apply(write: Write): void {
    const { key } = write;
    if (write.kind === 'delete') return void this.#entries.delete(key);
    const createRevision = this.#entries.get(key)?.createRevision ?? this.#revision;
    const stored = { key, value: write.value, createRevision, modRevision: this.#revision };
    this.#entries.set(key, write.lease === undefined ? stored : { ...stored, lease: write.lease });
  }
}

function plain({ key, value, createRevision, modRevision }: Stored): Entry {
  return { key, value, createRevision, modRevision };
}

function byKey(a: Entry, b: Entry): number {
  return a.key < b.key ? -1 : 1;
}
