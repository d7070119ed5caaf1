/**
 * What etcd is to its clients, in memory and at once: keys with revisions, transactions, leases that end by a clock,
 * and who is told of changes. Clients with a line that can be cut are in memory-store.ts. Held to the truth by the
 * contract suite, which runs against etcd too.
 */

import type { Committed, Condition, Entry, Listing, Range, Write } from '../../src/cluster/store.ts';
import { GantryError } from '../../src/errors.ts';
import { type Clock, REAL_CLOCK } from '../docker/fake-clock.ts';

/** etcd's default, `--max-txn-ops`. */
const MAX_WRITES = 128;

/** One write as a watch tells it. */
export type Change =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: number };

/** Told of every commit; `reset`: the history is another one now (restored or wiped), and watches have ended. */
export interface Watcher {
  changed(changes: readonly Change[]): void;
  reset(): void;
}

interface Stored extends Entry {
  readonly lease: string | undefined;
}

interface Lease {
  readonly ttlMs: number;
  readonly stop: () => void;
}

export interface Snapshot {
  readonly revision: number;
  readonly entries: ReadonlyMap<string, Stored>;
  readonly leases: ReadonlyMap<string, number>;
}

export class MemoryCluster {
  readonly clock: Clock;
  readonly watchers = new Set<Watcher>();
  #revision = 1;
  #entries = new Map<string, Stored>();
  #leases = new Map<string, Lease>();
  #granted = 0;

  constructor(clock: Clock = REAL_CLOCK) {
    this.clock = clock;
  }

  get revision(): number {
    return this.#revision;
  }

  get(key: string): Entry | undefined {
    const stored = this.#entries.get(key);
    return stored && plain(stored);
  }

  list({ from, to }: Range): Listing {
    const entries = [...this.#entries.values()].filter(({ key }) => key >= from && key < to);
    entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { entries: entries.map(plain), revision: this.#revision };
  }

  commit(conditions: readonly Condition[], writes: readonly Write[]): Committed {
    if (new Set(writes.map(({ key }) => key)).size < writes.length || writes.length > MAX_WRITES)
      throw new GantryError('cluster-failed', 'a key is given twice, or there are too many');
    if (!conditions.every((c) => this.#holds(c))) return { done: false, revision: this.#revision };
    for (const write of writes)
      if (write.kind === 'put' && write.lease !== undefined && !this.#leases.has(write.lease))
        throw new GantryError('cluster-failed', `the lease ${write.lease} has ended`);
    this.#write(writes);
    return { done: true, revision: this.#revision };
  }

  grant(ttlMs: number): string {
    const lease = String(++this.#granted);
    this.#leases.set(lease, this.#started(lease, ttlMs));
    return lease;
  }

  /** False: the lease has ended. */
  renew(lease: string): boolean {
    const held = this.#leases.get(lease);
    if (held === undefined) return false;
    held.stop();
    this.#leases.set(lease, this.#started(lease, held.ttlMs));
    return true;
  }

  /** Ends the lease and deletes its keys. Ended already: nothing happens. */
  end(lease: string): void {
    const held = this.#leases.get(lease);
    if (held === undefined) return;
    held.stop();
    this.#leases.delete(lease);
    const gone = [...this.#entries.values()].filter((stored) => stored.lease === lease);
    this.#write(gone.map(({ key }) => ({ kind: 'delete', key })));
  }

  /** Leases that have not ended. */
  leases(): readonly string[] {
    return [...this.#leases.keys()];
  }

  snapshot(): Snapshot {
    const leases = new Map([...this.#leases].map(([lease, { ttlMs }]) => [lease, ttlMs]));
    return { revision: this.#revision, entries: new Map(this.#entries), leases };
  }

  /** Everything as it was then, also the revision; leases of then begin their time anew. */
  restore(snapshot: Snapshot): void {
    this.shutDown();
    this.#revision = snapshot.revision;
    this.#entries = new Map(snapshot.entries);
    this.#leases = new Map(
      [...snapshot.leases].map(([lease, ttlMs]) => [lease, this.#started(lease, ttlMs)]),
    );
    for (const watcher of [...this.watchers]) watcher.reset();
  }

  /** As if its disks were emptied. */
  wipe(): void {
    this.restore({ revision: 1, entries: new Map(), leases: new Map() });
  }

  /** Stops the clocks of all leases, so that nothing keeps a process alive. */
  shutDown(): void {
    for (const { stop } of this.#leases.values()) stop();
  }

  #holds(condition: Condition): boolean {
    const { modRevision = 0, createRevision = 0 } = this.#entries.get(condition.key) ?? {};
    return 'modRevision' in condition
      ? condition.modRevision === modRevision
      : condition.createRevision === createRevision;
  }

  #write(writes: readonly Write[]): void {
    const effective = writes.filter(({ kind, key }) => kind === 'put' || this.#entries.has(key));
    if (effective.length === 0) return;
    this.#revision += 1;
    const changes = effective.map((write) => this.#apply(write));
    for (const watcher of [...this.watchers]) watcher.changed(changes);
  }

  #apply(write: Write): Change {
    const { key } = write;
    const modRevision = this.#revision;
    if (write.kind === 'delete') {
      this.#entries.delete(key);
      return { kind: 'delete', key, modRevision };
    }
    const createRevision = this.#entries.get(key)?.createRevision ?? modRevision;
    const stored = { key, value: write.value, createRevision, modRevision, lease: write.lease };
    this.#entries.set(key, stored);
    return { kind: 'put', entry: plain(stored) };
  }

  #started(lease: string, ttlMs: number): Lease {
    return { ttlMs, stop: this.clock.after(ttlMs, () => this.end(lease)) };
  }
}

function plain({ key, value, createRevision, modRevision }: Stored): Entry {
  return { key, value, createRevision, modRevision };
}
