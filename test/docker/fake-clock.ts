/** Clocks for the fake engine: the real one, and one that stands still until a test moves it. */
export interface Clock {
  now(): number;
  /** Calls back once after so long; answers how to prevent it. */
  after(delayMs: number, run: () => void): () => void;
}

export const REAL_CLOCK: Clock = {
  now: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Stands still until it is moved; what falls due happens in order. */
export class ManualClock implements Clock {
  #now: number;
  #order = 0;
  readonly #due = new Map<number, { at: number; run: () => void }>();

  constructor(now = 1_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const key = this.#order++;
    this.#due.set(key, { at: this.#now + delayMs, run });
    return () => this.#due.delete(key);
  }

  /** Lets everything that waits on a promise go on after each thing that falls due. */
  async advance(byMs: number): Promise<void> {
    const end = this.#now + byMs;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const next = [...this.#due].sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
      if (next === undefined || next[1].at > end) break;
      this.#due.delete(next[0]);
      this.#now = Math.max(this.#now, next[1].at);
      next[1].run();
    }
    this.#now = end;
  }
}
