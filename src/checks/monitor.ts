/**
 * Asks the checks of one container again and again and holds what they say together: its health.
 * Acts on nothing; it pokes whoever decides.
 */
import { type Check, type Health, judge, type Target, type Verdict } from './check.ts';
import { type Clock, REAL_CLOCK } from './monitor-clock.ts';
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

const RAMP_START_MS = 10;
/** Health probes stray from their interval by no more than this share of it. */
const STRAY = 0.1;
/**
 * Those of all containers come together at so many moments in an interval: many at once cost a fraction of as many one
 * by one, and few enough come at once that the containers' other work is not in their way.
 */
const MOMENTS = 5;

/** One check and what it told so far. */
interface Course {
  readonly check: Check;
  /** Its moments are so many milliseconds after whole intervals of the clock. */
  readonly phaseMs: number;
  /** Ends the pause under way, if there is one. */
  wake: () => void;
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
      phaseMs: phaseOf(check),
      wake: () => {},
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
    for (const course of this.#courses) course.wake();
    await this.#loops;
  }

  async #run(course: Course): Promise<void> {
    const { target, surroundings } = this.#options;
    const { signal } = this.#closing;
    await this.#pause(course, this.#firstDelayMs(course.check));
    for (let round = 0; !signal.aborted; round++) {
      const began = this.#clock.now();
      const verdict = await probe(course.check, target, surroundings, signal);
      if (signal.aborted) return;
      this.#take(course, verdict);
      const periodMs = this.#periodMs(course, began, round);
      await this.#pause(course, restOf(periodMs, this.#clock.now() - began));
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
    return this.#options.ramp ? 0 : Math.round(Math.random() * STRAY * check.intervalMs);
  }

  /** From the beginning of one probe to that of the next: as near to a moment of its own as it may stray. */
  #periodMs({ check: { intervalMs }, phaseMs }: Course, began: number, round: number): number {
    if (this.#options.ramp) return Math.min(RAMP_START_MS * 2 ** round, intervalMs);
    const late = (((began - phaseMs) % intervalMs) + intervalMs) % intervalMs;
    const wantedMs = late > intervalMs / 2 ? intervalMs - late : -late;
    const most = Math.floor(STRAY * intervalMs);
    return intervalMs + Math.max(-most, Math.min(most, wantedMs));
  }

  #pause(course: Course, delayMs: number): Promise<void> {
    if (this.#closing.signal.aborted || delayMs === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(resolve, delayMs);
      course.wake = () => {
        this.#clock.clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Commands in a container cost the host too much to come together. */
function phaseOf({ kind, intervalMs }: Check): number {
  const at = Math.random() * MOMENTS;
  return Math.round(((kind === 'exec' ? at : Math.floor(at)) * intervalMs) / MOMENTS);
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
