/** Failures of a component's containers in a row, and from when on the next one may be started. No I/O, no clock. */
import { BACKOFF_FORGET_MS, backoffMs } from './backoff.ts';
import { hasFailed } from './standing.ts';
import type { ContainerId, Desired, ObservedContainer } from './state.ts';

export class Setbacks {
  readonly #random: () => number;
  #failed: ReadonlySet<ContainerId> = new Set();
  /** Of this release. */
  #failures = 0;
  #release: number | undefined;
  #lastFailureAt = 0;
  #startAfter = 0;

  /** `random` answers [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Epoch milliseconds. */
  get startAfter(): number {
    return this.#startAfter;
  }

  /** A look that finds containers of a proven release newly failed makes the next replacement wait longer. */
  note({ release }: Desired, containers: readonly ObservedContainer[], now: number): void {
    this.#forgiveAnother(release?.number);
    const number = release?.proven === true ? release.number : undefined;
    const failed = containers.filter((c) => c.release === number && hasFailedByItself(c)).map((c) => c.id);
    if (failed.some((id) => !this.#failed.has(id))) this.#backOff(now);
    this.#failed = new Set(failed);
  }

  /** What another release failed of is no reason to let this one wait. */
  #forgiveAnother(release: number | undefined): void {
    if (release === this.#release) return;
    this.#release = release;
    this.#failures = 0;
    this.#startAfter = 0;
  }

  #backOff(now: number): void {
    this.#failures = now - this.#lastFailureAt > BACKOFF_FORGET_MS ? 1 : this.#failures + 1;
    this.#lastFailureAt = now;
    this.#startAfter = now + backoffMs(this.#failures, this.#random);
  }
}

function hasFailedByItself(c: ObservedContainer): boolean {
  return c.drain === undefined && hasFailed(c);
}
