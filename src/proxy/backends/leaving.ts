/**
 * How clients part with a backend that left the table: asked to leave one after the other, evenly over a time
 * and the oldest first, and let go when nothing moves for too long. Nobody is asked twice. Who cannot be asked
 * and still speaks is left alone.
 */

import type { LeaveTerms } from '../tables/routes.ts';
import type { Hold } from './hold.ts';

/** Between two clients at least; what a timer can tell apart. */
const MIN_GAP_MS = 1;
/** What a timer can hold; a longer wait is cut into pieces. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class Leaving {
  readonly #terms: LeaveTerms;
  /** When the backend left the table, by performance.now(). */
  readonly #since: number;
  /** In the order in which they are asked. */
  readonly #toAsk = new Set<Hold>();
  #nextAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(terms: LeaveTerms, since: number) {
    this.#terms = terms;
    this.#since = since;
    this.#nextAt = since;
  }

  /** To be asked after those that were added before. */
  add(hold: Hold): void {
    if (this.#terms.closeSpreadMs === 0) return;
    this.#toAsk.add(hold);
    this.#schedule();
  }

  remove(hold: Hold): void {
    this.#toAsk.delete(hold);
  }

  /** Nobody is asked any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#toAsk.clear();
  }

  isSilent(hold: Hold, now: number): boolean {
    const { idleTimeoutMs } = this.#terms;
    return idleTimeoutMs > 0 && now - Math.max(this.#since, hold.movedAt) >= idleTimeoutMs;
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#toAsk.size === 0) return;
    const leftMs = Math.max(MIN_GAP_MS, this.#nextAt - performance.now());
    this.#timer = setTimeout(() => this.#fire(), Math.min(leftMs, MAX_TIMER_MS));
  }

  #fire(): void {
    this.#timer = undefined;
    const now = performance.now();
    const [next] = this.#toAsk;
    if (next !== undefined && now >= this.#nextAt - MIN_GAP_MS) {
      this.#toAsk.delete(next);
      // The time that is left is shared by those that are left, so that who goes by itself leaves no gap.
      const leftMs = Math.max(0, this.#since + this.#terms.closeSpreadMs - now);
      this.#nextAt = now + leftMs / (this.#toAsk.size + 1);
      next.ask();
    }
    this.#schedule();
  }
}
