/**
 * What gantryd asks of its coordinator: keys with revisions, all-or-nothing writes, leases, and a range that is
 * followed. etcd-store.ts keeps it with etcd; the tests' memory store too, and one contract suite holds both to
 * what is written here. A revision counts the store's writes; every write of a key gives it the newest one.
 *
 * Every call has a deadline and ends with a GantryError: cluster-unreachable (retryable), cluster-refused (user,
 * password, certificate or rights), cluster-failed.
 */

export interface Entry {
  readonly key: string;
  /** JSON text. */
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface Listing {
  /** In the order of their keys. */
  readonly entries: readonly Entry[];
  /** Of the store when it answered. */
  readonly revision: number;
}

/** Keys from `from` up to, but not including, `to`. */
export interface Range {
  readonly from: string;
  readonly to: string;
}

/** What must hold of a key; revision 0: it does not exist. */
export type Condition =
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly createRevision: number };

export type Write =
  | {
      readonly kind: 'put';
      readonly key: string;
      readonly value: string;
      /** The key goes when the lease ends. A put without one takes the key from its lease. */
      readonly lease?: string;
    }
  | { readonly kind: 'delete'; readonly key: string };

export interface Committed {
  /** False: a condition did not hold, and nothing was written. */
  readonly done: boolean;
  readonly revision: number;
}

export interface SessionOptions {
  /** Whole seconds, and what the store grants at least: etcd 2 s with its default settings. */
  readonly ttlMs: number;
  /** Called when the session becomes held (its first lease, or a new one after a loss) and when it is lost. */
  readonly onChange: () => void;
}

/**
 * A lease that is kept alive for as long as the process lives, and granted anew after it was lost. Held means: by
 * this process's own monotonic clock, counted from when the last renewal that was answered was *sent*, the store
 * has not ended the lease yet. A process that was stopped for longer is not held, before any timer has run.
 */
export interface Session {
  /** undefined: not held. Keys written under an older lease are gone, or will be. */
  lease(): string | undefined;
  /** Milliseconds for which it is held without another answer, a tenth less than the store grants; 0: not held. */
  heldForMs(): number;
  /** Ends the lease and with it its keys; never throws: what cannot be told ends by itself. */
  close(): Promise<void>;
  /** Is held no more, and leaves lease and keys to end by themselves: who comes within their time finds them. */
  abandon(): void;
}

export interface FollowOptions {
  readonly range: Range;
  /**
   * Called after the mirror changed, or its being current did. Calls are synchronous and may be many. `changed`: the
   * keys that are different now; left out after a listing, when any may be; empty when only `current` is.
   */
  readonly onChange: (changed?: readonly string[]) => void;
}

/**
 * A range held in memory. Watch events are applied as they come; since a watch may lose some, the range is also
 * listed anew on every connect and error and at least every 30 s (cheaply where the store can tell what is newer).
 * The writes of one commit appear at once. A store that hangs is noticed within 10 s.
 */
export interface Mirror {
  /** Empty until the first listing. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** Newest revision seen; 0: none yet. Falls when the store was restored to an older state. */
  readonly revision: number;
  /** The watch stands and a listing has come since it does. */
  readonly current: boolean;
  /** Why it is not current, for a sentence. */
  readonly trouble: string | undefined;
  /** Resolves when the first listing is in; rejects when aborted. Never because the store is away: it waits. */
  listed(signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface Store {
  get(key: string): Promise<Entry | undefined>;
  /** `limit`: the first so many. */
  list(range: Range, limit?: number): Promise<Listing>;
  /** How many keys the range has. */
  count(range: Range): Promise<number>;
  /**
   * All writes at once if every condition holds. Done once at most: when the answer is lost it throws
   * cluster-unreachable and the writes may or may not have happened; whoever calls looks again. A put under a lease that has ended throws
   * cluster-failed, and nothing is written. A key is written once in a commit; etcd takes 128 writes and 1.5 MB.
   */
  commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed>;
  session(options: SessionOptions): Session;
  follow(options: FollowOptions): Mirror;
  /** Ends sessions and mirrors too; calls after it end with cluster-failed. Idempotent. */
  close(): Promise<void>;
}

/** Every key that starts with `prefix`. */
export function startingWith(prefix: string): Range {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { from: prefix, to: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}
