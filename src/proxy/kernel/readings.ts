/** Reads of something that takes a while, shared: one at a time, and one more for all who asked meanwhile. */

interface Reading {
  /** By performance.now(). */
  readonly begun: number;
  readonly done: Promise<void>;
}

export class Readings {
  readonly #read: () => Promise<void>;
  /** The one under way, or the last one that ended. */
  #latest: Reading | undefined;
  /** Begins when that has ended. */
  #next: Promise<void> | undefined;

  constructor(read: () => Promise<void>) {
    this.#read = read;
  }

  /** Ends with a reading that began at this time of performance.now() or later, and rejects as it does. */
  since(notBefore: number): Promise<void> {
    if (this.#latest !== undefined && this.#latest.begun >= notBefore) return this.#latest.done;
    // It begins at the next turn, or later.
    this.#next ??= this.#begin();
    return this.#next;
  }

  async #begin(): Promise<void> {
    await this.#latest?.done.catch(() => undefined);
    this.#next = undefined;
    const begun = performance.now();
    this.#latest = { begun, done: this.#read() };
    return this.#latest.done;
  }
}
