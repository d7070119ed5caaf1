/**
 * What became of the work that clients brought, for who watches over time: plain numbers for each component and
 * release, counted where it happens and read only when somebody asks. They begin with the process and never go down.
 */
import type { TrafficReport } from '../control/protocol.ts';

/** Upper ends of the buckets of LATENCY counts, in milliseconds; one more holds what took longer. */
export const LATENCY_BOUNDS_MS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000] as const;
/** Of a component, beside those that a backend leads to. */
const KEPT_RELEASES = 5;
/** Of all components together; what comes beyond counts as OTHER. */
const MAX_TALLIES = 500;
/** The client left before its answer began; 1 to 5 are the classes of status codes. */
const LEFT = 0;
const CLASSES = 6;

/** The release of what no backend was found for, or of a backend whose release is not known. */
export const NO_RELEASE = 'none';
const OTHER = 'other';

export type TallyName = Pick<TrafficReport, 'owner' | 'component' | 'release'>;

export class TrafficTally {
  readonly name: TallyName;
  readonly #answers = new Array<number>(CLASSES).fill(0);
  readonly #latency = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
  #tookMs = 0;
  #tcp = 0;
  #dialFailures = 0;
  #held = 0;
  #refused = 0;

  constructor(name: TallyName) {
    this.name = name;
  }

  /** The head of a request's answer is there, so long after that of the request. Once per request. */
  answered(status: number, tookMs: number): void {
    const kind = Math.min(Math.max(Math.floor(status / 100), 1), CLASSES - 1);
    this.#answers[kind] = (this.#answers[kind] ?? 0) + 1;
    let bucket = 0;
    while (bucket < LATENCY_BOUNDS_MS.length && tookMs > (LATENCY_BOUNDS_MS[bucket] ?? 0)) bucket += 1;
    this.#latency[bucket] = (this.#latency[bucket] ?? 0) + 1;
    this.#tookMs += tookMs;
  }

  /** The client of a request has left before its answer began. Instead of answered(). */
  left(): void {
    this.#answers[LEFT] = (this.#answers[LEFT] ?? 0) + 1;
  }

  tcpOpened(): void {
    this.#tcp += 1;
  }

  dialFailed(): void {
    this.#dialFailures += 1;
  }

  /** A client begins to wait for a backend. Once per client. */
  held(): void {
    this.#held += 1;
  }

  /** A client was sent away, since there was no backend or none could be reached. */
  refused(): void {
    this.#refused += 1;
  }

  report(): TrafficReport {
    return {
      ...this.name,
      answers: [...this.#answers],
      latency: [...this.#latency],
      tookMs: this.#tookMs,
      tcp: this.#tcp,
      dialFailures: this.#dialFailures,
      held: this.#held,
      refused: this.#refused,
    };
  }
}

/** The tallies of a process, by owner, component and release; the one that was asked for last comes last. */
export class Traffic {
  readonly #tallies = new Map<string, TrafficTally>();
  #inUse: ReadonlySet<TrafficTally> = new Set();

  /** The one that exists, or a new one. */
  of(owner: string, component: string, release: string = NO_RELEASE): TrafficTally {
    const key = JSON.stringify([owner, component, release]);
    const known = this.#tallies.get(key);
    if (known === undefined && component !== OTHER && this.#isFull()) return this.of(owner, OTHER, OTHER);
    const tally = known ?? new TrafficTally({ owner, component, release });
    this.#tallies.delete(key);
    this.#tallies.set(key, tally);
    return tally;
  }

  /** Forgets releases that no backend leads to any more, but the latest of each component. */
  settle(inUse: ReadonlySet<TrafficTally>): void {
    this.#inUse = inUse;
    const seen = new Map<string, number>();
    for (const [key, tally] of [...this.#tallies].reverse()) {
      const { owner, component } = tally.name;
      const of = JSON.stringify([owner, component]);
      const rank = seen.get(of) ?? 0;
      seen.set(of, rank + 1);
      if (rank > KEPT_RELEASES && !inUse.has(tally)) this.#tallies.delete(key);
    }
  }

  reports(): TrafficReport[] {
    return Array.from(this.#tallies.values(), (tally) => tally.report());
  }

  /** Whether there is no room, even after the one that was not used for longest went. */
  #isFull(): boolean {
    if (this.#tallies.size < MAX_TALLIES) return false;
    for (const [key, tally] of this.#tallies) {
      if (this.#inUse.has(tally)) continue;
      this.#tallies.delete(key);
      return false;
    }
    return true;
  }
}
