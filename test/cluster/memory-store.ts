/**
 * A Store on a MemoryCluster, for tests and simulation. One client each: its line can be cut, its answers held back
 * or lost, and made slow by a clock. Requests and answers pass in order, each in a task of its own, as on a socket.
 */

import type {
  Committed,
  Condition,
  Entry,
  FollowOptions,
  Listing,
  Mirror,
  Range,
  Session,
  SessionOptions,
  Store,
  Write,
} from '../../src/cluster/store.ts';
import { Once } from '../../src/cluster/waiting.ts';
import { GantryError } from '../../src/errors.ts';
import type { Change, MemoryCluster, Watcher } from './memory-cluster.ts';

const CALL_TIMEOUT_MS = 2500;
const RETRY_MS = 100;
/** Of the time to live: given up before the cluster ends the lease. */
const MARGIN = 0.1;

export interface MemoryStoreOptions {
  /** How long each way takes; undefined: no time of the clock. */
  readonly delayMs?: () => number;
}

/** Answers held back. */
export interface Held {
  /** They arrive now, in order. */
  release(): void;
  /** They never arrive: what was asked has happened, and the calls end with cluster-unreachable. */
  lose(): void;
}

interface Passing {
  readonly arrive: () => void;
  readonly lost: () => void;
}

export class MemoryStore implements Store {
  readonly cluster: MemoryCluster;
  readonly #delayMs: (() => number) | undefined;
  readonly #mirrors = new Set<MemoryMirror>();
  readonly #sessions = new Set<MemorySession>();
  readonly #requests: Line;
  readonly #answers: Line;
  #connected = true;
  #closed = false;

  constructor(cluster: MemoryCluster, options: MemoryStoreOptions = {}) {
    this.cluster = cluster;
    this.#delayMs = options.delayMs;
    this.#requests = new Line((run) => this.#travel(run));
    this.#answers = new Line((run) => this.#travel(run));
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Cuts the line: what is on its way is lost, calls fail, mirrors are not current, leases are not renewed. */
  disconnect(): void {
    this.#connected = false;
    this.#requests.lose();
    this.#answers.lose();
    for (const mirror of this.#mirrors) mirror.cut('etcd does not answer');
  }

  connect(): void {
    this.#connected = true;
    for (const mirror of this.#mirrors) mirror.stand();
  }

  /** From now on answers and events wait; requests still arrive. */
  hold(): Held {
    this.#answers.hold();
    return { release: () => this.#answers.release(), lose: () => this.#answers.lose() };
  }

  /** The cluster ends the leases of this client's sessions now; it learns of it with its next renewal. */
  expireLeases(): void {
    for (const session of this.#sessions) if (session.granted) this.cluster.end(session.granted);
  }

  get(key: string): Promise<Entry | undefined> {
    return this.call(() => this.cluster.get(key));
  }

  list(range: Range, limit?: number): Promise<Listing> {
    return this.call(() => {
      const listing = this.cluster.list(range);
      return { ...listing, entries: listing.entries.slice(0, limit) };
    });
  }

  count(range: Range): Promise<number> {
    return this.call(() => this.cluster.list(range).entries.length);
  }

  commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> {
    return this.call(() => this.cluster.commit(conditions, writes));
  }

  session(options: SessionOptions): Session {
    const session = new MemorySession(this, options, () => this.#sessions.delete(session));
    this.#sessions.add(session);
    return session;
  }

  follow(options: FollowOptions): Mirror {
    const mirror = new MemoryMirror(this, options, () => this.#mirrors.delete(mirror));
    this.#mirrors.add(mirror);
    mirror.stand();
    return mirror;
  }

  async close(): Promise<void> {
    for (const mirror of [...this.#mirrors]) mirror.close();
    await Promise.all([...this.#sessions].map((session) => session.close()));
    this.#closed = true;
  }

  /** One request and its answer, both over the line, with the deadline every call has. */
  call<T>(run: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(new GantryError('cluster-failed', 'the store was closed'));
    return new Promise((resolve, reject) => {
      const lost = () => reject(unreachable());
      const stop = this.cluster.clock.after(CALL_TIMEOUT_MS, lost);
      this.#pass(this.#requests, {
        arrive: () => {
          const answer = settled(run);
          this.#pass(this.#answers, { arrive: () => answer.then(resolve, reject).finally(stop), lost });
        },
        lost,
      });
    });
  }

  /** An event, behind the answers that were sent before it. */
  deliver(arrive: () => void): void {
    this.#pass(this.#answers, { arrive, lost: () => {} });
  }

  #pass(line: Line, passing: Passing): void {
    if (this.#connected) line.add(passing);
    else queueMicrotask(passing.lost);
  }

  #travel(run: () => void): void {
    const delayMs = this.#delayMs?.();
    if (delayMs === undefined) queueMicrotask(run);
    else this.cluster.clock.after(delayMs, run);
  }
}

/** What is on its way in one direction: first in, first out. */
class Line {
  readonly #travel: (run: () => void) => void;
  #waiting: Passing[] = [];
  #moving = false;
  #held = false;

  constructor(travel: (run: () => void) => void) {
    this.#travel = travel;
  }

  add(passing: Passing): void {
    this.#waiting.push(passing);
    this.#move();
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#move();
  }

  lose(): void {
    const lost = this.#waiting;
    this.#waiting = [];
    this.#held = false;
    for (const passing of lost) queueMicrotask(passing.lost);
  }

  #move(): void {
    if (this.#moving || this.#held || this.#waiting.length === 0) return;
    this.#moving = true;
    this.#travel(() => {
      this.#moving = false;
      if (!this.#held) this.#waiting.shift()?.arrive();
      this.#move();
    });
  }
}

class MemoryMirror implements Mirror, Watcher {
  entries: Map<string, Entry> = new Map();
  revision = 0;
  trouble: string | undefined = 'no answer yet';
  readonly #store: MemoryStore;
  readonly #options: FollowOptions;
  readonly #onClose: () => void;
  readonly #first = new Once();
  /** Grows when the watch ends: what was sent for an older one does not count. */
  #standing = 0;
  #closed = false;

  constructor(store: MemoryStore, options: FollowOptions, onClose: () => void) {
    this.#store = store;
    this.#options = options;
    this.#onClose = onClose;
  }

  get current(): boolean {
    return this.trouble === undefined;
  }

  /** Lists, and watches from that revision on. */
  stand(): void {
    if (this.#closed) return;
    const standing = ++this.#standing;
    const { cluster } = this.#store;
    const now = () => standing === this.#standing;
    const listing = () => {
      if (now()) cluster.watchers.add(this);
      return cluster.list(this.#options.range);
    };
    const arrived = (found: Listing) => {
      if (!now()) return;
      this.entries = new Map(found.entries.map((entry) => [entry.key, entry]));
      this.revision = found.revision;
      this.#first.happen();
      this.#options.onChange();
    };
    const failed = () => now() && this.#store.connected && this.#again();
    // As with etcd: what is there is told first, and that it is current once the watch stands.
    const stands = () => {
      if (!now()) return;
      this.trouble = undefined;
      this.#options.onChange([]);
    };
    this.#store
      .call(listing)
      .then(arrived)
      .then(() => this.#store.call(() => undefined))
      .then(stands, failed);
  }

  changed(changes: readonly Change[]): void {
    const { from, to } = this.#options.range;
    const ours = changes.filter((change) => keyOf(change) >= from && keyOf(change) < to);
    const standing = this.#standing;
    if (ours.length > 0) this.#store.deliver(() => standing === this.#standing && this.#apply(ours));
  }

  reset(): void {
    this.cut('the watch ended');
    if (this.#store.connected) this.stand();
  }

  cut(why: string): void {
    this.#standing += 1;
    this.#store.cluster.watchers.delete(this);
    const was = this.current;
    this.trouble = why;
    if (was) this.#options.onChange([]);
  }

  listed(signal: AbortSignal): Promise<void> {
    return this.#first.happened(signal);
  }

  close(): void {
    this.#closed = true;
    this.#standing += 1;
    this.trouble = 'closed';
    this.#store.cluster.watchers.delete(this);
    this.#onClose();
  }

  #apply(changes: readonly Change[]): void {
    for (const change of changes) {
      this.revision = Math.max(
        this.revision,
        change.kind === 'put' ? change.entry.modRevision : change.modRevision,
      );
      if (change.kind === 'put') this.entries.set(change.entry.key, change.entry);
      else this.entries.delete(change.key);
    }
    this.#options.onChange(changes.map(keyOf));
  }

  #again(): void {
    const standing = this.#standing;
    this.#store.cluster.clock.after(RETRY_MS, () => standing === this.#standing && this.stand());
  }
}

class MemorySession implements Session {
  /** What the cluster may still know, held or not. */
  granted: string | undefined;
  readonly #store: MemoryStore;
  readonly #options: SessionOptions;
  readonly #onClose: () => void;
  #heldUntil = 0;
  #wasHeld = false;
  #closed = false;
  #stopRenewal = () => {};
  #stopEnd = () => {};

  constructor(store: MemoryStore, options: SessionOptions, onClose: () => void) {
    this.#store = store;
    this.#options = options;
    this.#onClose = onClose;
    this.#step();
  }

  lease(): string | undefined {
    return this.heldForMs() > 0 ? this.granted : undefined;
  }

  heldForMs(): number {
    return this.#closed ? 0 : Math.max(0, this.#heldUntil - this.#store.cluster.clock.now());
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.abandon();
    const lease = this.granted;
    if (lease !== undefined)
      await this.#store.call(() => this.#store.cluster.end(lease)).catch(() => undefined); // ends by itself
  }

  abandon(): void {
    this.#closed = true;
    this.#stopRenewal();
    this.#stopEnd();
    this.#onClose();
  }

  #step(): void {
    const { cluster } = this.#store;
    const sentAt = cluster.clock.now();
    const { ttlMs } = this.#options;
    const old = this.granted;
    const held = this.lease();
    const ask = (): string | undefined => {
      if (held !== undefined) return cluster.renew(held) ? held : undefined;
      if (old !== undefined) cluster.end(old);
      return cluster.grant(ttlMs);
    };
    const answered = (lease: string | undefined) => {
      if (this.#closed) return lease === undefined ? undefined : cluster.end(lease);
      this.granted = lease;
      this.#heldUntil = lease === undefined ? 0 : sentAt + ttlMs * (1 - MARGIN);
      this.#tell();
      this.#next(lease === undefined ? 0 : ttlMs / 3);
    };
    this.#store.call(ask).then(answered, () => this.#next(RETRY_MS));
  }

  #next(delayMs: number): void {
    if (!this.#closed) this.#stopRenewal = this.#store.cluster.clock.after(delayMs, () => this.#step());
  }

  #tell(): void {
    this.#stopEnd();
    const held = this.heldForMs();
    if (held > 0) this.#stopEnd = this.#store.cluster.clock.after(held, () => this.#tell());
    if (this.#wasHeld === held > 0) return;
    this.#wasHeld = held > 0;
    this.#options.onChange();
  }
}

function keyOf(change: Change): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}

async function settled<T>(run: () => T): Promise<T> {
  return run();
}

function unreachable(): GantryError {
  return new GantryError('cluster-unreachable', 'etcd does not answer', { retryable: true });
}
