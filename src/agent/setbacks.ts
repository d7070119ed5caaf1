/** Failures of a component's containers in a row, and from when on the next one may be started. No I/O, no clock. */

import { BACKOFF_FORGET_MS, BACKOFF_MAX_MS, backoffMs } from './backoff.ts';
import { short } from './plan/action.ts';
import { areMostDown, hasFailed, isReady } from './plan/standing.ts';
import type { ContainerId, Desired, Observed, ObservedContainer, Release } from './plan/state.ts';

/** Containers that are named where many failed. */
const NAMED = 3;

/** More than half of a component's containers do not serve, and not because somebody asked for it. */
export interface MassFailure {
  readonly failed: number;
  readonly instances: number;
  /** What became of the first few. */
  readonly why: string;
}

export class Setbacks {
  readonly #random: () => number;
  #failed: ReadonlySet<ContainerId> = new Set();
  /** Of this release. */
  #failures = 0;
  #release: number | undefined;
  #lastFailureAt = 0;
  #startAfter = 0;
  /** Most are down, which has been told. */
  #massFailure = false;
  /** Most containers that have served together, of as many as are to be. */
  #due: number | undefined;

  /** `random` answers [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  get standing(): Pick<Observed, 'startAfter' | 'failures'> {
    return { startAfter: this.#startAfter, failures: this.#failures };
  }

  /** A look that finds containers of a proven release newly failed makes the next replacement wait longer. */
  note(desired: Desired, containers: readonly ObservedContainer[], now: number): void {
    const release = healed(desired);
    if (now - this.#lastFailureAt > BACKOFF_FORGET_MS) this.#failures = 0;
    // No pause is that long: somebody set the clock back.
    if (this.#startAfter - now > BACKOFF_MAX_MS) this.#startAfter = now;
    this.#forgiveAnother(release?.number);
    const number = release?.proven === true ? release.number : undefined;
    const failed = containers.filter((c) => c.release === number && hasFailedByItself(c)).map((c) => c.id);
    if (failed.some((id) => !this.#failed.has(id))) this.#backOff(now);
    this.#failed = new Set(failed);
  }

  /** That most have failed together, once until all serve again; undefined: they have not, or it was answered before. */
  massFailure(
    { status, release }: Desired,
    containers: readonly ObservedContainer[],
  ): MassFailure | undefined {
    if (status !== 'ready' || release?.proven !== true) return undefined;
    const { instances } = release.component;
    const own = containers.filter((c) => c.release === release.number);
    const ready = own.filter((c) => c.drain === undefined && isReady(c)).length;
    if (ready >= instances) this.#massFailure = false;
    const due = this.#dueOf(instances, ready);
    const failed = own.filter(hasFailedByItself);
    // Those that were replaced already may still be there.
    const inVain = Math.min(failed.length, instances - ready);
    const areMost = areMostDown(due - ready, due) || areMostDown(inVain, instances);
    if (this.#massFailure || failed.length === 0 || !areMost) return undefined;
    this.#massFailure = true;
    const named = failed.slice(0, NAMED).map(failureOf);
    return { failed: Math.max(due - ready, inVain), instances, why: named.join('; ') };
  }

  /** Where more are wanted than were, those that are still to come have not failed. */
  #dueOf(instances: number, ready: number): number {
    this.#due = Math.min(Math.max(this.#due ?? instances, ready), instances);
    return this.#due;
  }

  /** What another release failed of is no reason to let this one wait. */
  #forgiveAnother(release: number | undefined): void {
    if (release === this.#release) return;
    this.#release = release;
    this.#failures = 0;
    this.#startAfter = 0;
  }

  #backOff(now: number): void {
    this.#failures++;
    this.#lastFailureAt = now;
    this.#startAfter = now + backoffMs(this.#failures, this.#random);
  }
}

/** While another release comes up or is tried out beside it, the one before is kept up. */
function healed({ release, previous }: Desired): Release | undefined {
  return release?.proven === false ? (previous ?? release) : release;
}

function hasFailedByItself(c: ObservedContainer): boolean {
  return c.drain === undefined && hasFailed(c);
}

function failureOf(c: ObservedContainer): string {
  if (c.state === 'exited') return `${short(c.id)} exited`;
  return `${short(c.id)} ${c.readiness === 'late' ? 'was not ready in time' : 'is unhealthy'}: ${c.saw}`;
}
