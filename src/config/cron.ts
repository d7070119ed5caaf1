/**
 * When a cron expression falls due in a time zone. croner, which only this file loads, knows calendars and clocks;
 * cron-grammar.ts knows the expressions. Where clocks are changed: an expression that names its times of day (no `*`
 * and no `/` for seconds, minutes and hours) runs once for a time that comes twice, the first time, and once, right
 * after the gap, for times that do not come at all; any other goes through real time.
 */
import { Cron } from 'croner';
import { GantryError } from '../errors.ts';
import { readCron } from './cron-grammar.ts';
import { didYouMean } from './suggest.ts';

/** `last` counts no further. */
export const MAX_COUNTED = 1_000;

/** All times are epoch milliseconds, at whole seconds where they are ticks. */
export interface CronTimes {
  /** The first tick after it; undefined: there is none any more. */
  next(after: number): number | undefined;
  /** The ticks with after < tick <= upTo, oldest first, `most` at most; `more`: there are further ones. */
  within(after: number, upTo: number, most: number): { readonly instants: number[]; readonly more: boolean };
  /**
   * The newest tick with after < tick <= upTo, and how many there are: MAX_COUNTED says that many or more. However long
   * the gap, at most MAX_COUNTED + 50 ticks are computed (0.1 s): counting stops, and the newest is found by bisection.
   */
  last(after: number, upTo: number): { readonly instant: number; readonly count: number } | undefined;
}

/** Throws GantryError config-invalid for what cronProblem has a word about, except that its times are over. */
export function cronTimes(cron: string, timeZone: string): CronTimes {
  const next = nextOf(cron, timeZone);
  const within: CronTimes['within'] = (after, upTo, most) => {
    const instants: number[] = [];
    let tick = next(after);
    while (tick !== undefined && tick <= upTo && instants.length < most) {
      instants.push(tick);
      tick = next(tick);
    }
    return { instants, more: tick !== undefined && tick <= upTo };
  };
  const last: CronTimes['last'] = (after, upTo) => {
    const { instants, more } = within(after, upTo, MAX_COUNTED);
    const known = instants.at(-1);
    if (known === undefined) return undefined;
    return { instant: more ? newest(next, known, upTo) : known, count: instants.length };
  };
  return { next, within, last };
}

/** Why a schedule cannot go by it, as a sentence that begins in lower case; `now` tells whether it has times to come. */
export function cronProblem(cron: string, timeZone: string, now = Date.now()): string | undefined {
  const read = readCron(cron);
  if ('problem' in read) return read.problem;
  if (timeZoneProblem(timeZone) !== undefined) return undefined;
  const due = nextOf(cron, timeZone)(now);
  return due === undefined ? 'has no time to come: no date like this lies ahead' : undefined;
}

/** Why it is no time zone. */
export function timeZoneProblem(timeZone: string): string | undefined {
  if (isTimeZone(timeZone)) return undefined;
  const help = didYouMean(timeZone, Intl.supportedValuesOf('timeZone'));
  return `must be a time zone by its IANA name, as "Europe/Berlin" or "UTC"${help}`;
}

function isTimeZone(timeZone: string): boolean {
  // An offset would be one to Node as well, from some version on.
  if (!/^[A-Za-z]/.test(timeZone)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function nextOf(cron: string, timeZone: string): CronTimes['next'] {
  const read = readCron(cron);
  const wrong = 'problem' in read ? `the cron expression "${cron}" is wrong: ${read.problem}` : undefined;
  const zone = timeZoneProblem(timeZone);
  const problem = wrong ?? (zone && `the time zone "${timeZone}" ${zone}`);
  if ('problem' in read || problem !== undefined) throw new GantryError('config-invalid', problem ?? '');
  const times = new Cron(read.pattern, {
    mode: '7-part',
    timezone: timeZone,
    fixedTimeRule: 'no-wildcard',
    paused: true,
  });
  return (after) => times.nextRun(new Date(after))?.getTime();
}

/** Halves the time in which the newest tick lies until there is none behind the one that is known. */
function newest(next: CronTimes['next'], known: number, upTo: number): number {
  let [tick, end] = [known, upTo];
  while (tick < end) {
    const middle = Math.floor((tick + end) / 2);
    const found = next(middle);
    if (found !== undefined && found <= upTo) tick = found;
    else end = middle;
  }
  return tick;
}
