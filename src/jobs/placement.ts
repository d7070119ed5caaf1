/**
 * Which pending runs a host claims, and when. Hosts rank themselves for a run: those that may run it and have a slot
 * free, the least loaded first, then by a hash; the lower a host ranks the longer it leaves the run to better ones. All
 * see the same, so mostly the first claims and nobody has to decide for all; who ranks wrong only claims later, or in
 * vain. Pure.
 */
import type { ExecutorValue, RunValue } from '../cluster/job-values.ts';
import { canRunOn, MAX_PAUSE_MS } from './runs.ts';
import { spread } from './spread.ts';

/** What a host leaves to each that ranks before it: longer than a claim takes, and than clocks of hosts differ. */
export const RANK_STEP_MS = 300;
export const MAX_RANK_WAIT_MS = 3_000;

export interface Candidate {
  readonly executor: Pick<ExecutorValue, 'host' | 'labels' | 'slots'>;
  /** Runs in its hands. */
  readonly used: number;
}

/** 0: nobody ranks before `me`; undefined: it cannot take the run. `others`: the live ones but me. */
export function rankFor(
  run: Pick<RunValue, 'id' | 'job'>,
  me: Candidate,
  others: readonly Candidate[],
): number | undefined {
  if (!canTake(run, me)) return undefined;
  return others.filter((other) => canTake(run, other) && isBefore(run, other, me)).length;
}

/** It has a slot free, and may run it. */
export function canTake(run: Pick<RunValue, 'job'>, { executor, used }: Candidate): boolean {
  return used < executor.slots && canRunOn(run, executor) === undefined;
}

function isBefore({ id }: Pick<RunValue, 'id'>, a: Candidate, b: Candidate): boolean {
  const difference = a.used / a.executor.slots - b.used / b.executor.slots;
  if (difference !== 0) return difference < 0;
  return spread(id, a.executor.host) < spread(id, b.executor.host);
}

/** What a host leaves of the time to those that rank before it; who cannot take the run, or `me` is not, to all that can. */
export function leavesMs(
  run: Pick<RunValue, 'id' | 'job'>,
  me: Candidate | undefined,
  others: readonly Candidate[],
): number {
  const rank = me === undefined ? undefined : rankFor(run, me, others);
  const before = rank ?? others.filter((other) => canTake(run, other)).length;
  return Math.min(MAX_RANK_WAIT_MS, before * RANK_STEP_MS);
}

/** Milliseconds until it may be claimed by the rules of its own; 0: now; undefined: something must happen first. */
export function startsInMs(
  run: RunValue,
  isUnderWay: (run: string) => boolean,
  now: number,
): number | undefined {
  if (run.state !== 'pending' || run.after?.some(isUnderWay) === true) return undefined;
  const leftMs = (run.notBefore ?? 0) - now;
  // Longer than any pause: the clock was set back meanwhile.
  return leftMs > MAX_PAUSE_MS ? 0 : Math.max(0, leftMs);
}

export interface Placing {
  /** In the order in which they are to be served. */
  readonly pending: readonly RunValue[];
  readonly me: Candidate;
  readonly others: readonly Candidate[];
  readonly isUnderWay: (run: string) => boolean;
  /** For how long it has been there to be claimed, as seen here. */
  readonly waitedMs: (run: RunValue) => number;
  /** Epoch milliseconds. */
  readonly now: number;
}

export interface Placed {
  /** To be claimed by this host now; never more than it has slots free. */
  readonly claim: readonly RunValue[];
  /** When there may be more; undefined: not before something changes. */
  readonly againInMs: number | undefined;
}

export function place({ pending, me, others, isUnderWay, waitedMs, now }: Placing): Placed {
  const claim: RunValue[] = [];
  let againInMs: number | undefined;
  for (const run of pending) {
    const mine = { ...me, used: me.used + claim.length };
    if (mine.used >= mine.executor.slots) break;
    const startMs = startsInMs(run, isUnderWay, now);
    if (startMs === undefined || !canTake(run, mine)) continue;
    const leftMs = leavesMs(run, mine, others) - (startMs > 0 ? 0 : waitedMs(run));
    if (startMs === 0 && leftMs <= 0) claim.push(run);
    else againInMs = Math.min(againInMs ?? Number.POSITIVE_INFINITY, startMs + Math.max(0, leftMs));
  }
  return { claim, againInMs };
}
