/**
 * The names of runs: what made it, when to the second, and four letters by chance, so that ids of one name sort by
 * time. A schedule's tick has no letters: its name is all that tells it from other ticks, and it must be made once.
 * Fit for keys, file names and names of containers. Pure, but for chance.
 */
import { createHash } from 'node:crypto';

/** As long as a schedule's name may be. */
const MAX_NAME = 63;
const FIT = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/;
const LETTERS = '0123456789abcdefghijklmnopqrstuvwxyz';
const RANDOM_LETTERS = 4;
const HASH_LETTERS = 6;

/** `backup.20261121T143022Z-k3x9`. `at`: epoch milliseconds. `random`: as Math.random. */
export function runId(name: string, at: number, random: () => number = Math.random): string {
  const letters = Array.from(
    { length: RANDOM_LETTERS },
    () => LETTERS[Math.floor(random() * LETTERS.length)],
  );
  return `${cleaned(name)}.${second(at)}-${letters.join('')}`;
}

/** Whether it is fit for what ids are used for. */
export function isRunId(text: string): boolean {
  return FIT.test(text);
}

/** `nightly.20261121T143000Z`: one for each schedule and instant. */
export function tickId(schedule: string, instant: number): string {
  return `${scheduleInIds(schedule)}.${second(instant)}`;
}

/** A run that a person makes of a schedule: `nightly.20261121T143005Z-k3x9`. */
export function handId(schedule: string, at: number, random: () => number = Math.random): string {
  return runId(scheduleInIds(schedule), at, random);
}

/** How ids of its runs begin, up to the dot: its name, unless ids cannot hold that. Never that of another schedule. */
export function scheduleInIds(schedule: string): string {
  const name = cleaned(schedule);
  if (name === schedule) return name;
  const hash = createHash('sha256').update(schedule).digest('hex').slice(0, HASH_LETTERS);
  return `${name.slice(0, MAX_NAME - HASH_LETTERS - 1)}-${hash}`;
}

function cleaned(name: string): string {
  const fit = name.replace(/[^a-zA-Z0-9_-]+/g, '_').replace(/^[_-]+/, '');
  return fit === '' ? 'job' : fit.slice(0, MAX_NAME);
}

function second(at: number): string {
  return new Date(at).toISOString().replace(/[-:]|\.\d+/g, '');
}
