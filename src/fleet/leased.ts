/**
 * The keys by which a host tells how it is: each lives as long as the host's lease, and is written again under a new
 * one, or when somebody removed it. News is told at once; what only changed a little waits, so that a host at rest
 * writes at most once in five seconds, however many components it has.
 */

import { untilTogether } from '../clock.ts';
import type { Session, Store, Write } from '../cluster/store.ts';
import { Poke, pause } from '../poke.ts';

/** Between two writes that tell no news. */
export const QUIET_MS = 5_000;
/** News that come together are told together. */
const GATHER_MS = 5;
const RETRY_MS = 1_000;
/** etcd takes 128 operations in a transaction. */
const MOST_WRITES = 100;
const MOST_BYTES = 1_000_000;
/** How often it is looked whether the keys are still there, as told: somebody may have wiped or restored etcd. */
const PROOF_MS = 30_000;

interface Kept {
  readonly value: string;
  readonly lease: string;
  readonly revision: number;
}

export interface LeasedKeysInput {
  readonly store: Store;
  /** Asked each time: it is another one after a loss. */
  readonly session: Session;
  readonly onTrouble: (error: unknown) => void;
  /** It is looked after, and what was told last: when one of them is gone or another, all are written again. */
  readonly proof: string;
}

export class LeasedKeys {
  readonly #input: LeasedKeysInput;
  readonly #wanted = new Map<string, string>();
  readonly #told = new Map<string, Kept>();
  /** Keys to be removed with the next write. */
  readonly #gone = new Set<string>();
  #newest: string | undefined;
  readonly #poke = new Poke();
  #news = false;
  #writing: Promise<void> = Promise.resolve();
  #lastAt = Number.NEGATIVE_INFINITY;
  #proofAt = performance.now();

  constructor(input: LeasedKeysInput) {
    this.#input = input;
  }

  put(key: string, value: object, { news }: { readonly news: boolean }): void {
    const text = JSON.stringify(value);
    this.#gone.delete(key);
    if (this.#wanted.get(key) === text) return;
    this.#wanted.set(key, text);
    this.#news ||= news;
    // Also what is no news: the writer sleeps to a moment, and this may come right after it.
    this.#poke.poke();
  }

  delete(key: string): void {
    const known = this.#wanted.delete(key) || this.#told.has(key);
    if (!known) return;
    this.#gone.add(key);
    this.#news = true;
    this.#poke.poke();
  }

  /** The lease is another one. */
  leaseChanged(): void {
    this.#news = true;
    this.#poke.poke();
  }

  /** etcd may not hold any more what was told: it is looked at once. */
  doubt(): void {
    this.#proofAt = Number.NEGATIVE_INFINITY;
    this.#poke.poke();
  }

  /** Until aborted: writes what is to be told, when it is to be. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#poke.clear();
      try {
        if (this.#isDue()) {
          await pause(GATHER_MS, signal);
          await this.flush();
        }
        await this.#prove();
        await this.#poke.wait(this.#restMs(), signal);
      } catch (error) {
        this.#input.onTrouble(error);
        await pause(RETRY_MS, signal);
      }
    }
  }

  /**
   * Writes everything now, and `also` with the last of it; resolves when etcd has it. Without a lease there is nothing
   * to write under, and nothing is written.
   */
  flush(also: readonly Write[] = []): Promise<void> {
    return this.#inOrder(() => this.#write(also));
  }

  /** The same for `ms` at most; what etcd has not taken then, `run` goes on with. Never throws. */
  async flushWithin(ms: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const flushed = this.flush()
      .catch(() => undefined) // it stays news: `run` tries again, and tells
      .finally(() => over.abort());
    await Promise.race([flushed, pause(ms, AbortSignal.any([signal, over.signal]))]);
  }

  #inOrder(call: () => Promise<void>): Promise<void> {
    this.#writing = this.#writing.then(call, call);
    return this.#writing;
  }

  #isDue(): boolean {
    if (this.#changes(this.#input.session.lease()).length === 0) return false;
    return this.#news || performance.now() - this.#lastAt >= QUIET_MS;
  }

  #restMs(): number {
    const quiet = this.#lastAt + QUIET_MS - performance.now();
    const something = this.#changes(this.#input.session.lease()).length > 0;
    return Math.max(GATHER_MS, something ? quiet : untilTogether(QUIET_MS));
  }

  async #write(also: readonly Write[]): Promise<void> {
    const lease = this.#input.session.lease();
    if (lease === undefined) return;
    this.#news = false;
    let left = also;
    for (let changes = [...this.#changes(lease), ...left]; changes.length > 0; ) {
      const some = atOnce(changes);
      left = left.filter((w) => !some.includes(w));
      this.#lastAt = performance.now();
      try {
        const { revision } = await this.#input.store.commit([], some);
        for (const write of some) this.#note(write, lease, revision);
      } catch (error) {
        this.#news = true;
        throw error;
      }
      changes = [...this.#changes(lease), ...left];
    }
  }

  #note(write: Write, lease: string, revision: number): void {
    if (write.kind === 'put') {
      this.#told.set(write.key, { value: write.value, lease, revision });
      this.#newest = write.key;
    } else {
      this.#told.delete(write.key);
      this.#gone.delete(write.key);
    }
  }

  #changes(lease: string | undefined): Write[] {
    if (lease === undefined) return [];
    const puts = [...this.#wanted].filter(([key, value]) => {
      const told = this.#told.get(key);
      return told?.value !== value || told.lease !== lease;
    });
    return [
      ...puts.map(([key, value]): Write => ({ kind: 'put', key, value, lease })),
      ...[...this.#gone].map((key): Write => ({ kind: 'delete', key })),
    ];
  }

  async #prove(): Promise<void> {
    if (performance.now() - this.#proofAt < PROOF_MS) return;
    this.#proofAt = performance.now();
    try {
      await this.#inOrder(async () => {
        for (const key of new Set([this.#input.proof, this.#newest])) await this.#compare(key);
      });
    } catch (error) {
      this.#proofAt = Number.NEGATIVE_INFINITY;
      throw error;
    }
  }

  async #compare(key: string | undefined): Promise<void> {
    const told = key === undefined ? undefined : this.#told.get(key);
    if (key === undefined || told === undefined) return;
    const there = await this.#input.store.get(key);
    if (there?.modRevision !== told.revision) this.#forget();
  }

  /** What was told is told again. */
  #forget(): void {
    this.#told.clear();
    this.#news = true;
    this.#poke.poke();
  }
}

/** As many writes as fit one transaction. */
function atOnce(changes: readonly Write[]): readonly Write[] {
  let bytes = 0;
  const fitting = changes.slice(0, MOST_WRITES).findIndex((w) => {
    bytes += w.kind === 'put' ? w.value.length : 0;
    return bytes > MOST_BYTES;
  });
  return changes.slice(0, fitting === -1 ? MOST_WRITES : Math.max(1, fitting));
}
