/** What a part of the benchmark has started, ended in the opposite order, whoever asks first. */
import type { Cleanup } from '../ground/harness.ts';

export class Ends implements Cleanup {
  readonly #ends: (() => Promise<void> | void)[] = [];

  after(end: () => Promise<void> | void): void {
    this.#ends.push(end);
  }

  /** Rejects with the first of what went wrong when all has been tried. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) {
      try {
        await end();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
