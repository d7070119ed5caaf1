/**
 * Cron expressions as text: five fields (minute first), six (the last one is the year) or seven (seconds first,
 * year last) and the macros, as gorhill/cronexpr reads them. Says what is wrong with one field by field, and writes
 * a good one with seven fields, in numbers only. When they fall due is cron.ts. Pure.
 */
import { didYouMean } from './suggest.ts';

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** Words for numbers, in lower case; their first three letters do too. The first one stands for `min`. */
  readonly words?: readonly string[];
}

const MONTHS = 'january february march april may june july august september october november december'.split(
  ' ',
);
const DAYS = 'sunday monday tuesday wednesday thursday friday saturday'.split(' ');

const SECOND: Field = { name: 'second', min: 0, max: 59 };
const MINUTE: Field = { name: 'minute', min: 0, max: 59 };
const HOUR: Field = { name: 'hour', min: 0, max: 23 };
const DAY: Field = { name: 'day of the month', min: 1, max: 31 };
const MONTH: Field = { name: 'month', min: 1, max: 12, words: MONTHS };
const WEEKDAY: Field = { name: 'day of the week', min: 0, max: 7, words: DAYS };
const YEAR: Field = { name: 'year', min: 1970, max: 2099 };
const FIELDS: readonly Field[] = [SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR];

export const MACROS: Readonly<Record<string, string>> = {
  '@yearly': '0 0 0 1 1 * *',
  '@annually': '0 0 0 1 1 * *',
  '@monthly': '0 0 0 1 * * *',
  '@weekly': '0 0 0 * * 0 *',
  '@daily': '0 0 0 * * * *',
  '@midnight': '0 0 0 * * * *',
  '@hourly': '0 0 * * * * *',
};

/** What is wrong, as a sentence that begins in lower case. */
class Fault extends Error {}

/** The expression with seven fields, or what is wrong with it. */
export function readCron(cron: string): { readonly pattern: string } | { readonly problem: string } {
  try {
    return { pattern: sevenFields(cron.trim()) };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { problem: error.message };
  }
}

function sevenFields(cron: string): string {
  if (cron.startsWith('@')) return macro(cron.toLowerCase());
  const given = cron.split(/\s+/).filter((text) => text !== '');
  if (given.length < 5 || given.length > 7) throw new Fault(wrongCount(given.length));
  const all = given.length === 7 ? given : ['0', ...given, ...(given.length === 5 ? ['*'] : [])];
  const skipped = given.length === 7 ? 0 : 1;
  return all.map((text, index) => readField(text, FIELDS[index] ?? YEAR, index + 1 - skipped)).join(' ');
}

function macro(cron: string): string {
  const pattern = Object.hasOwn(MACROS, cron) ? MACROS[cron] : undefined;
  if (pattern !== undefined) return pattern;
  if (cron === '@reboot') throw new Fault('"@reboot" is no time: a fleet has no moment at which it boots');
  const known = Object.keys(MACROS);
  throw new Fault(`there is no macro "${cron}"; known are ${known.join(', ')}${didYouMean(cron, known)}`);
}

function wrongCount(count: number): string {
  const has = count === 1 ? 'has 1 field' : `has ${count} fields`;
  return `${has}; five are needed (minute, hour, day of the month, month, day of the week), six with a year at the end, seven with seconds in front besides`;
}

function readField(text: string, field: Field, number: number): string {
  try {
    const items = text.split(',').map((item) => readItem(item.toLowerCase(), field));
    return items.includes('*') ? '*' : items.join(',');
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(`field ${number} (${field.name}), "${text}": ${error.message}`);
  }
}

function readItem(item: string, field: Field): string {
  if (item === '*' || item === '?') return '*';
  if (item === '') throw new Fault('something is missing beside a comma');
  const special = field === DAY ? dayItem(item) : field === WEEKDAY ? weekdayItem(item) : undefined;
  return special ?? rangeItem(item, field);
}

/** A star, one value or a range, each with or without a step. */
function rangeItem(item: string, field: Field): string {
  const [range = '', step, ...more] = item.split('/');
  if (more.length > 0) throw new Fault('has more than one `/`');
  const suffix = step === undefined ? '' : `/${readStep(step, field)}`;
  if (range === '*') return `*${suffix}`;
  const [first = '', last, ...further] = range.split('-');
  if (further.length > 0) throw new Fault(`"${range}" has more than one \`-\``);
  const from = readValue(first, field);
  if (last === undefined) return step === undefined ? String(from) : `${from}-${topOf(field)}${suffix}`;
  const to = field === WEEKDAY && /^sun/.test(last) ? 7 : readValue(last, field);
  if (from > to) throw new Fault(backwards(from, to, field));
  return `${from}-${to}${suffix}`;
}

/** The last day of the week is Saturday; 7 is Sunday once more. */
function topOf(field: Field): number {
  return field === WEEKDAY ? 6 : field.max;
}

function backwards(from: number, to: number, field: Field): string {
  return `a range cannot end before it begins; write "${from}-${topOf(field)},${field.min}-${to}"`;
}

function readStep(step: string, field: Field): number {
  const value = /^[0-9]{1,4}$/.test(step) ? Number(step) : 0;
  if (value >= 1 && value <= field.max) return value;
  throw new Fault(`the step after \`/\` must be a number from 1 to ${field.max}, not "${step}"`);
}

function readValue(text: string, field: Field): number {
  const word = wordValue(text, field);
  if (word !== undefined) return word;
  if (/^[0-9]{1,4}$/.test(text) && Number(text) >= field.min && Number(text) <= field.max)
    return Number(text);
  const words = (field.words ?? []).map((known) => known.slice(0, 3).toUpperCase());
  const names = words.length === 0 ? '' : ` or ${words[0]} to ${words.at(-1)}`;
  const what = text === '' ? 'nothing' : `"${text}"`;
  throw new Fault(
    `must be ${field.min} to ${field.max}${names}, not ${what}${didYouMean(text.toUpperCase(), words)}`,
  );
}

function wordValue(text: string, field: Field): number | undefined {
  const index = (field.words ?? []).findIndex((word) => word === text || word.slice(0, 3) === text);
  return index === -1 ? undefined : field.min + index;
}

function dayItem(item: string): string | undefined {
  if (item === 'l' || item === 'lw') return item.toUpperCase();
  if (/^l-/.test(item))
    throw new Fault('days before the last one cannot be counted; "L" is the last day, "LW" the last weekday');
  if (!item.endsWith('w')) return undefined;
  if (item === 'w' || /[-/]/.test(item)) throw new Fault('"W" stands behind one day, as "15W", or "L"');
  return `${readValue(item.slice(0, -1), DAY)}W`;
}

function weekdayItem(item: string): string | undefined {
  if (item === 'l') throw new Fault('"L" stands behind a day: "5L" is the last Friday of the month');
  if (item.includes('#')) return nthWeekday(item);
  if (!item.endsWith('l')) return undefined;
  if (/[-/]/.test(item)) throw new Fault('"L" stands behind one day: "5L" is the last Friday of the month');
  return `${readValue(item.slice(0, -1), WEEKDAY) % 7}L`;
}

function nthWeekday(item: string): string {
  const [day = '', nth = ''] = item.split('#');
  if (!/^[1-5]$/.test(nth) || item.split('#').length > 2)
    throw new Fault('behind `#` stands a number from 1 to 5: "1#2" is the second Monday of the month');
  return `${readValue(day, WEEKDAY) % 7}#${nth}`;
}
