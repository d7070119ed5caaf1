/**
 * Writes to one file, one after the other: while one is under way the next pieces gather, and are written together.
 * So many tiny pieces cost few calls, a single one waits for nobody, and no more than one buffer ever waits.
 */

/** What may wait while a write is under way. */
export const GATHERED_BYTES = 256 * 1024;
const GATHERED_PIECES = 4096;

export interface Sized {
  readonly bytes: Buffer;
}

export class GatheredWrites<T extends Sized> {
  readonly #write: (pieces: readonly T[]) => Promise<void>;
  #waiting: T[] = [];
  #waitingBytes = 0;
  #underWay: Promise<void> | undefined;
  #onTaken: (() => void)[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(write: (pieces: readonly T[]) => Promise<void>) {
    this.#write = write;
  }

  /** A promise when there is no room for more; it, or a later call, fails as the write did. */
  add(piece: T): Promise<void> | undefined {
    if (this.#failure !== undefined) return this.flush();
    this.#waiting.push(piece);
    this.#waitingBytes += piece.bytes.length;
    this.#underWay ??= this.#writeWaiting();
    if (!this.#isFull) return undefined;
    const room = this.#room();
    // Who gives several pieces waits for the last one alone, and is told then.
    room.catch(() => {});
    return room;
  }

  /** All that was added is written. */
  async flush(): Promise<void> {
    await this.#underWay;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  get #isFull(): boolean {
    return this.#waitingBytes >= GATHERED_BYTES || this.#waiting.length >= GATHERED_PIECES;
  }

  async #room(): Promise<void> {
    while (this.#isFull) {
      await new Promise<void>((resolve) => this.#onTaken.push(resolve));
      if (this.#failure !== undefined) throw this.#failure.error;
    }
  }

  /** Never throws: who adds or flushes is told. */
  async #writeWaiting(): Promise<void> {
    // What is added in the same turn goes along.
    await Promise.resolve();
    while (this.#waiting.length > 0 && this.#failure === undefined) {
      const pieces = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#wake();
      await this.#write(pieces).catch((error: unknown) => {
        this.#failure = { error };
      });
    }
    this.#underWay = undefined;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#onTaken;
    this.#onTaken = [];
    for (const wake of waiting) wake();
  }
}
