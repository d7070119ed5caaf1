/**
 * How much of the new work a backend may take that has joined others a short time ago: a share that grows with its
 * age. A bound, not a promise: within it the least open decides, and who is alone takes everything.
 */
import type { BackendName, LiveBackend } from './backend.ts';

/** Of a backend that joins this moment; a settled one has 1. */
const LEAST_WEIGHT = 0.1;
/** Clients that a fresh backend may be owed, while others had less open or it was not its turn. */
const MAX_DUE = 2;

/** Of one group of backends, which it names by their place in it. */
export class SlowStart {
  readonly #backends: readonly LiveBackend[];
  readonly #slowStartMs: number;
  /** When the last of them is settled. */
  readonly #until: number;
  readonly #weights: number[];
  readonly #due: number[];

  constructor(backends: readonly LiveBackend[], slowStartMs: number) {
    this.#backends = backends;
    this.#slowStartMs = slowStartMs;
    const lastJoined = Math.max(...backends.map(({ freshSince }) => freshSince ?? Number.NEGATIVE_INFINITY));
    this.#until = slowStartMs > 0 ? lastJoined + slowStartMs : Number.NEGATIVE_INFINITY;
    this.#weights = backends.map(() => 1);
    this.#due = backends.map(() => 0);
  }

  isOver(now: number): boolean {
    return now >= this.#until;
  }

  /** A client came: of what it brings, each backend is due its share. */
  arrived(now: number): void {
    let sum = 0;
    for (let at = 0; at < this.#weights.length; at++) {
      const weight = this.#weightOf(this.#backends[at]?.freshSince, now);
      this.#weights[at] = weight;
      sum += weight;
    }
    for (let at = 0; at < this.#due.length; at++) this.#due[at] = this.#dueAt(at) + this.#weightAt(at) / sum;
  }

  /** It has had its share for now: others are to be preferred. */
  isHeldBack(at: number): boolean {
    return this.#weightAt(at) < 1 && this.#dueAt(at) < 1;
  }

  took(at: number): void {
    this.#due[at] = Math.max(0, this.#dueAt(at) - 1);
  }

  #weightOf(freshSince: number | undefined, now: number): number {
    if (freshSince === undefined) return 1;
    const part = Math.max(0, now - freshSince) / this.#slowStartMs;
    return Math.min(1, LEAST_WEIGHT + (1 - LEAST_WEIGHT) * part);
  }

  #weightAt(at: number): number {
    return this.#weights[at] ?? 1;
  }

  #dueAt(at: number): number {
    return Math.min(MAX_DUE, this.#due[at] ?? 0);
  }
}

/**
 * Since when those are fresh that join a component's backends now; undefined: they are equals of the others. So they
 * are when less of the others stay than leave, as after an update: the few would have to carry everything.
 */
export function freshSince(
  present: Iterable<LiveBackend>,
  { owner, component }: Omit<BackendName, 'id'>,
  next: readonly Pick<BackendName, 'id'>[],
  now: number,
): number | undefined {
  const wanted = new Set(next.map(({ id }) => id));
  let stay = 0;
  let leave = 0;
  for (const { routed, name } of present) {
    if (!routed || name.component !== component || name.owner !== owner) continue;
    if (wanted.has(name.id)) stay += 1;
    else leave += 1;
  }
  return stay > 0 && stay >= leave ? now : undefined;
}
