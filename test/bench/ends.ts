/** What a part of the benchmark has started, ended in the opposite order, whoever asks first. */
import type { Cleanup } from '../ground/harness.ts';

export class Ends implements Cleanup {
  readonly #ends: (() => Promise<void> | void)[] = [];

  after(end: () => Promise<void> | void): void {
    this.#ends.push(end);
  }

  async close(): Promise<void> {
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) await end();
  }
}
