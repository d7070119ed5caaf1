/**
 * The keys by which a host tells how it is: each lives as long as the host's lease, and is written again under a new
 * one, or when somebody removed it. News is told at once; what only changed a little waits, so that a host at rest
 * writes at most once in five seconds, however many components it has.
 */
import { Poke, pause } from '../agent/poke.ts';
import type { Session, Store, Write } from '../cluster/store.ts';
import { isGantryError } from '../errors.ts';

/** Between two writes that tell no news. */
export const QUIET_MS = 5_000;
/** News that come together are told together. */
const GATHER_MS = 5;
const RETRY_MS = 1_000;
/** etcd takes 128 operations in a transaction. */
const MOST_WRITES = 100;
const MOST_BYTES = 1_000_000;
/** How often it is looked whether the keys are still there: somebody may have wiped them. */
const PROOF_MS = 30_000;

interface Kept {
  readonly value: string;
  readonly lease: string;
}

export interface LeasedKeysInput {
  readonly store: Store;
  /** Asked each time: it is another one after a loss. */
  readonly session: Session;
  readonly onTrouble: (error: unknown) => void;
  /** Of all the one that is looked after: when it is gone, all are written again. */
  readonly proof: string;
}

export class LeasedKeys {
  readonly #input: LeasedKeysInput;
  readonly #wanted = new Map<string, string>();
  readonly #told = new Map<string, Kept>();
  /** Keys to be removed with the next write. */
  readonly #gone = new Set<string>();
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
    if (news) this.#poke.poke();
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

  /** Writes everything now; resolves when etcd has it. Without a lease there is nothing to write under. */
  flush(): Promise<void> {
    const write = () => this.#write();
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }

  #isDue(): boolean {
    if (this.#changes(this.#input.session.lease()).length === 0) return false;
    return this.#news || performance.now() - this.#lastAt >= QUIET_MS;
  }

  #restMs(): number {
    const quiet = this.#lastAt + QUIET_MS - performance.now();
    const something = this.#changes(this.#input.session.lease()).length > 0;
    return Math.max(GATHER_MS, something ? quiet : QUIET_MS);
  }

  async #write(): Promise<void> {
    const lease = this.#input.session.lease();
    if (lease === undefined) return;
    this.#news = false;
    for (let changes = this.#changes(lease); changes.length > 0; changes = this.#changes(lease)) {
      const some = atOnce(changes);
      this.#lastAt = performance.now();
      try {
        await this.#input.store.commit([], some);
      } catch (error) {
        this.#news = true;
        throw error;
      }
      for (const write of some) this.#note(write, lease);
    }
  }

  #note(write: Write, lease: string): void {
    if (write.kind === 'put') {
      this.#told.set(write.key, { value: write.value, lease });
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
    const { store, proof } = this.#input;
    const there = await store.get(proof);
    if (there === undefined && this.#told.has(proof)) this.#forget();
  }

  /** Somebody removed what was told: it is told again. */
  #forget(): void {
    this.#told.clear();
    this.#news = true;
    this.#poke.poke();
  }

  /** Whoever sees that a key of ours is missing says so; answers whether it was ours. */
  missing(key: string): boolean {
    if (!this.#told.has(key)) return false;
    this.#forget();
    return true;
  }
}

/** As many writes as fit one transaction. */
function atOnce(changes: readonly Write[]): readonly Write[] {
  let bytes = 0;
  const fitting = changes.slice(0, MOST_WRITES).findIndex((w) => {
    bytes += w.kind === 'put' ? w.value.length : 0;
    return bytes > MOST_BYTES;
  });
  return changes.slice(0, fitting <= 0 ? MOST_WRITES : fitting);
}

/** Whether a call may work later without anybody doing anything. */
export function mayPass(error: unknown): boolean {
  return isGantryError(error) && error.retryable;
}
