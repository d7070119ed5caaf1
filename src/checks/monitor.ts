/**
 * Asks the checks of one container again and again and holds what they say together: its health.
 * Acts on nothing; it pokes whoever decides.
 */
import { steadyNow } from '../clock.ts';
import { type Check, type Health, judge, type Target, type Verdict } from './check.ts';
import { probe, type Surroundings } from './probes.ts';

export interface MonitorOptions {
  readonly checks: readonly Check[];
  readonly target: Target;
  readonly surroundings: Surroundings;
  /** Ready checks: at once, then after 10, 20, 40 … ms up to the interval, so that readiness is seen soon. */
  readonly ramp?: boolean;
  readonly clock?: Clock;
  /** A poke: health is another than before. */
  readonly onChange: () => void;
  /** For display. */
  readonly onVerdict?: (verdict: Verdict, check: Check) => void;
}

export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  setTimeout(run: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** Node turns a longer delay into 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const REAL_CLOCK: Clock = {
  now: steadyNow,
  setTimeout: (run, delayMs) => setTimeout(run, Math.min(delayMs, LONGEST_TIMER_MS)),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

const RAMP_START_MS = 10;
/** Health probes stray by this share of their interval, so that those of many containers don't align. */
const JITTER = 0.1;
/** They go by one of so many moments in an interval: a few probes at once cost less than each for itself. */
const MOMENTS = 20;

/** One check and what it told so far. */
interface Course {
  readonly check: Check;
  /** The newest last; no more than the judgement can need. */
  history: readonly Verdict[];
  health: Health;
  last: Verdict | undefined;
}

/**
 * Every check runs in a loop of its own and never overlaps itself. Healthy: all checks are (so also without
 * any check, from the start and without a poke). Unhealthy: one is. Unknown: anything else.
 */
export class Monitor {
  readonly #options: MonitorOptions;
  readonly #clock: Clock;
  readonly #courses: readonly Course[];
  readonly #closing = new AbortController();
  #loops: Promise<unknown> | undefined;
  #health: Health;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? REAL_CLOCK;
    this.#courses = options.checks.map((check) => ({
      check,
      history: [],
      health: 'unknown',
      last: undefined,
    }));
    this.#health = together(this.#courses);
  }

  get health(): Health {
    return this.#health;
  }

  /** The latest verdict of each check that has answered, in the order of the checks. */
  get last(): readonly Verdict[] {
    return this.#courses.flatMap(({ last }) => last ?? []);
  }

  /** Idempotent; does nothing once closed. */
  start(): void {
    if (this.#closing.signal.aborted) return;
    this.#loops ??= Promise.all(this.#courses.map((course) => this.#run(course)));
  }

  /** Idempotent. Probes under way are given up; none runs and nobody is poked afterwards. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#loops;
  }

  async #run(course: Course): Promise<void> {
    const { target, surroundings } = this.#options;
    const { signal } = this.#closing;
    await this.#pause(this.#firstDelayMs(course.check));
    for (let round = 0; !signal.aborted; round++) {
      const began = this.#clock.now();
      const verdict = await probe(course.check, target, surroundings, signal);
      if (signal.aborted) return;
      this.#take(course, verdict);
      await this.#pause(restOf(this.#periodMs(course.check, round), this.#clock.now() - began));
    }
  }

  #take(course: Course, verdict: Verdict): void {
    course.last = verdict;
    if (verdict.inconclusive !== true) {
      const needed = Math.max(course.check.fall, course.check.rise);
      course.history = [...course.history, verdict].slice(-needed);
      course.health = judge(course.history, course.check, course.health);
    }
    this.#options.onVerdict?.(verdict, course.check);
    const health = together(this.#courses);
    if (health === this.#health) return;
    this.#health = health;
    this.#options.onChange();
  }

  #firstDelayMs(check: Check): number {
    return this.#options.ramp ? 0 : Math.random() * JITTER * check.intervalMs;
  }

  /** From the beginning of one probe to that of the next. */
  #periodMs(check: Check, round: number): number {
    if (this.#options.ramp) return Math.min(RAMP_START_MS * 2 ** round, check.intervalMs);
    const apart = check.intervalMs / MOMENTS;
    const [least, most] = [check.intervalMs * (1 - JITTER) + apart, check.intervalMs * (1 + JITTER)];
    const period = least + Math.random() * (most - least);
    return period - ((this.#clock.now() + period) % apart);
  }

  #pause(delayMs: number): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted || delayMs === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        this.#clock.clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = this.#clock.setTimeout(end, delayMs);
      signal.addEventListener('abort', end, { once: true });
    });
  }
}

/** A probe that took its whole period, or a clock that was set, still leaves a moment between two probes. */
function restOf(periodMs: number, elapsedMs: number): number {
  const least = Math.min(periodMs, RAMP_START_MS);
  return Math.max(least, periodMs - Math.max(0, elapsedMs));
}

function together(courses: readonly Course[]): Health {
  if (courses.some(({ health }) => health === 'unhealthy')) return 'unhealthy';
  return courses.every(({ health }) => health === 'healthy') ? 'healthy' : 'unknown';
}
