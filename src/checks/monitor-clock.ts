/**
 * The time that monitors go by. Of the real one all who wait for the same millisecond share one timer: it is waking the
 * process that costs, not what is done then.
 */

export interface Clock {
  /** Whole milliseconds since some moment; nobody sets it. */
  now(): number;
  /** `run` must not throw. */
  setTimeout(run: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** Node turns a longer delay into 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** All who wait for one moment. */
interface Moment {
  readonly at: number;
  readonly timer: NodeJS.Timeout;
  readonly runs: Set<() => void>;
}

interface Waiting {
  readonly moment: Moment;
  readonly run: () => void;
}

export class SharedTimers implements Clock {
  /** As many as there are pauses under way, at most. */
  readonly #moments = new Map<number, Moment>();

  now(): number {
    return Math.round(performance.now()); // as untilTogether counts
  }

  setTimeout(run: () => void, delayMs: number): Waiting {
    const now = this.now();
    const at = Math.ceil(now + Math.min(delayMs, LONGEST_TIMER_MS));
    const moment = this.#moments.get(at) ?? this.#begin(at, at - now);
    moment.runs.add(run);
    return { moment, run };
  }

  clearTimeout(timer: unknown): void {
    const { moment, run } = timer as Waiting;
    moment.runs.delete(run);
    if (moment.runs.size === 0) this.#end(moment);
  }

  #begin(at: number, delayMs: number): Moment {
    const timer = setTimeout(
      () => {
        this.#end(moment);
        for (const run of moment.runs) run();
      },
      Math.min(delayMs, LONGEST_TIMER_MS),
    );
    const moment: Moment = { at, timer, runs: new Set() };
    this.#moments.set(at, moment);
    return moment;
  }

  #end(moment: Moment): void {
    clearTimeout(moment.timer);
    if (this.#moments.get(moment.at) === moment) this.#moments.delete(moment.at);
  }
}

export const REAL_CLOCK: Clock = new SharedTimers();
