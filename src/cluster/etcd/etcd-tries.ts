/** How often, for how long and with what pauses the members of etcd are asked for one thing. */

import { HEDGE_MS, HEDGES, ROUND_PAUSE_MS, ROUNDS, SHORTEST_TRY_MS } from '../options.ts';
import type { Failure } from './etcd-failures.ts';

export class Tries {
  readonly #members: number;
  readonly #end: number;
  #failed = 0;
  /** In a row, and not for want of a leader. */
  #away = 0;
  #hedges = 0;

  constructor(members: number, timeoutMs: number) {
    this.#members = members;
    this.#end = performance.now() + timeoutMs;
  }

  /** For all that is still to be tried. */
  get leftMs(): number {
    return Math.max(1, this.#end - performance.now());
  }

  /** For the next try alone, that another one has time after it. */
  get tryMs(): number {
    const left = this.leftMs;
    return this.#members === 1 || left < SHORTEST_TRY_MS ? left : left / 2;
  }

  /** Before the next try; undefined: enough. */
  pauseMs({ leaderless, elsewhere }: Failure): number | undefined {
    this.#failed += 1;
    this.#away = leaderless ? 0 : this.#away + 1;
    const pauseMs = this.#failed % this.#members === 0 ? ROUND_PAUSE_MS : 0;
    const isEnough = !elsewhere || this.#away >= ROUNDS * this.#members || this.leftMs <= pauseMs;
    return isEnough ? undefined : pauseMs;
  }

  /** Before a try beside one that is late; undefined: none. */
  hedgeMs(): number | undefined {
    const hedgeMs = HEDGE_MS * 2 ** Math.max(0, ++this.#hedges - HEDGES);
    return this.#members === 1 || this.leftMs <= hedgeMs ? undefined : hedgeMs;
  }
}
