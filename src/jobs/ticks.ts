/**
 * What is to be done about a schedule's next tick, if it is time for one: make a run, after others or in place of them,
 * or pass it by, and why. One tick at a time, oldest first; the cursor says how far it is. A clock that goes back finds
 * its ticks dealt with. Pure.
 */
import type { RunValue } from '../cluster/job-values.ts';
import { type CronTimes, MAX_COUNTED } from '../config/cron.ts';
import type { Schedule } from '../config/job.ts';

/** A tick that is older was missed. */
export const TOLERANCE_MS = 60_000;
/** Runs of one schedule that wait, for each other or for a host. */
export const MOST_WAITING = 100;

export type Deal =
  | {
      readonly kind: 'run';
      readonly instant: number;
      /** Ticks before it that were passed by. */
      readonly missed: number;
      /** Runs it waits for. */
      readonly after: readonly string[];
      /** Whether those are cancelled. */
      readonly replaces: boolean;
      readonly why: string;
    }
  | { readonly kind: 'skip'; readonly instant: number; readonly why: string };

export interface TickInput {
  readonly schedule: Pick<Schedule, 'overlap' | 'missed'>;
  readonly times: CronTimes;
  /** All times here are epoch milliseconds. The newest tick that was dealt with, or when the schedule began. */
  readonly cursor: number;
  readonly now: number;
  /** Its runs that are not over, the oldest first. */
  readonly active: readonly Pick<RunValue, 'id' | 'state'>[];
}

/** undefined: nothing is due. */
export function nextDeal(input: TickInput): Deal | undefined {
  const { times, cursor, now } = input;
  const due = times.next(cursor);
  if (due === undefined || due > now) return undefined;
  return due < now - TOLERANCE_MS ? missedDeal(input) : overlapDeal(input, due, 0);
}

/** All that were missed are one deal, for the newest of them. */
function missedDeal(input: TickInput): Deal | undefined {
  const { times, cursor, now, schedule } = input;
  // A tick that is exactly as old as may be is not missed.
  const last = times.last(cursor, now - TOLERANCE_MS - 1);
  if (last === undefined) return undefined;
  const { instant, count } = last;
  if (schedule.missed === 'runOnce') return overlapDeal(input, instant, count);
  return { kind: 'skip', instant, why: `passed by: no host could run it, ${countText(count)}` };
}

function countText(count: number): string {
  if (count === 1) return '1 tick';
  return count >= MAX_COUNTED ? `${count} ticks or more` : `${count} ticks`;
}

/** `late`: how many missed ticks it stands for, itself one of them; 0: it is in time. */
function overlapDeal({ schedule, active }: TickInput, instant: number, late: number): Deal {
  const run = { kind: 'run', instant, missed: Math.max(0, late - 1), after: [], replaces: false } as const;
  const why = late > 0 ? `made up for: no host could run it, ${countText(late)}` : 'its time has come';
  const newest = active.at(-1);
  const waiting = active.filter(({ state }) => state === 'pending').length;
  if (waiting >= MOST_WAITING) return { kind: 'skip', instant, why: `skipped: ${waiting} runs wait already` };
  if (newest === undefined || schedule.overlap === 'allow') return { ...run, why };
  if (schedule.overlap === 'forbid') {
    return { kind: 'skip', instant, why: `skipped: ${newest.id} is under way, and overlap is forbid` };
  }
  // Of all of them: one in the middle may be cancelled while an earlier one is still at it.
  const ids = active.map(({ id }) => id);
  if (schedule.overlap === 'queue') return { ...run, after: ids, why: `it waits until ${newest.id} is over` };
  return { ...run, after: ids, replaces: true, why: `it replaces ${ids.join(', ')}` };
}
