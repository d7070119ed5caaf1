/**
 * How much of the new work a backend gets that has joined others a short time ago: of the clients it is owed a part that
 * grows with its age, and gets more only where the others have far more open. Weighted least connections alone would
 * give it nothing while little is open, and then its full share at once. Nobody waits or fails for it: it only orders
 * who is there.
 */
import type { BackendName, LiveBackend } from './backend.ts';

/** `joinedAt` of a backend that is no younger than any. */
export const SETTLED = Number.NEGATIVE_INFINITY;
/** Of a backend that joins this moment; a settled one has 1. */
const LEAST_WEIGHT = 0.1;
/** Clients that a backend may be owed, while others had less open or it was not its turn. */
const MAX_DUE = 2;

/** Of one group of backends, which it names by their place in it. */
export class SlowStart {
  readonly #backends: readonly LiveBackend[];
  readonly #slowStartMs: number;
  /** When the last of them is settled. */
  readonly #until: number;
  readonly #weights: number[];
  /** Of the weights: what is open counts alone on those that have it. */
  #greatest = 1;
  readonly #due: number[];

  constructor(backends: readonly LiveBackend[], slowStartMs: number) {
    this.#backends = backends;
    this.#slowStartMs = slowStartMs;
    const lastJoined = Math.max(...backends.map(({ joinedAt }) => joinedAt));
    this.#until = slowStartMs > 0 ? lastJoined + slowStartMs : SETTLED;
    this.#weights = backends.map(() => 1);
    this.#due = backends.map(() => 0);
  }

  isOver(now: number): boolean {
    return now >= this.#until;
  }

  /** A client came: of what it brings, each backend is due its share. */
  arrived(now: number): void {
    let sum = 0;
    let greatest = 0;
    for (let at = 0; at < this.#weights.length; at++) {
      const weight = this.#weightOf(this.#backends[at]?.joinedAt ?? SETTLED, now);
      this.#weights[at] = weight;
      sum += weight;
      if (weight > greatest) greatest = weight;
    }
    this.#greatest = greatest;
    for (let at = 0; at < this.#due.length; at++) {
      const due = (this.#due[at] ?? 0) + (this.#weights[at] ?? 1) / sum;
      this.#due[at] = Math.min(MAX_DUE, due);
    }
  }

  /** What would be under way on it with one client more, as it weighs there. */
  burden(at: number, underWay: number): number {
    if ((this.#due[at] ?? 0) >= 1) return underWay + 1;
    const ratio = this.#greatest / (this.#weights[at] ?? 1);
    // Steep, so that what is owed decides, and gentle between those that are nearly equal.
    return (underWay + 1) * ratio * ratio * ratio;
  }

  took(at: number): void {
    this.#due[at] = Math.max(0, (this.#due[at] ?? 0) - 1);
  }

  #weightOf(joinedAt: number, now: number): number {
    const part = (now - joinedAt) / this.#slowStartMs;
    return part >= 1 ? 1 : LEAST_WEIGHT + (1 - LEAST_WEIGHT) * Math.max(0, part);
  }
}

/**
 * What counts as the moment at which those join that a component's next table adds. It is now, unless less of the others
 * stay than leave, as when a canary is promoted: the few would have to carry everything, so all are of their age.
 */
export function joiningAt(
  present: Iterable<LiveBackend>,
  { owner, component }: Omit<BackendName, 'id'>,
  next: readonly Pick<BackendName, 'id'>[],
  now: number,
): number {
  const wanted = new Set(next.map(({ id }) => id));
  let leave = 0;
  const stay: number[] = [];
  for (const { routed, name, joinedAt } of present) {
    if (!routed || name.component !== component || name.owner !== owner) continue;
    if (wanted.has(name.id)) stay.push(joinedAt);
    else leave += 1;
  }
  return stay.length > 0 && stay.length < leave ? Math.min(...stay) : now;
}
