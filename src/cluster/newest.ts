/**
 * Ranges of which only the newest are kept: ids that are in the order of time, and whoever writes removing what is too
 * much now and then. Who looks is found by the key alone, so that very many writers look as seldom as one does. What is
 * newest the store alone says, by the order in which it was written: the clock of one writer pushes out nobody's.
 */
import { createHash } from 'node:crypto';
import type { Entry, Range, Store } from './store.ts';

/** Of these keys one looks whether there are too many. */
const LOOKS_EVERY = 64;
/** etcd takes 128 in a transaction. */
const MAX_DELETES = 100;
/** Milliseconds of the next thirty thousand years: the order of the keys is the order of time. */
const TIME_DIGITS = 15;

/** `at`: epoch milliseconds. `rest`: what else makes it the only one. */
export function timeId(at: number, rest: string): string {
  return `${timePart(at)}-${rest}`;
}

/** How ids of that time begin; before it all ids are older. */
export function timePart(at: number): string {
  return String(Math.max(0, Math.floor(at))).padStart(TIME_DIGITS, '0');
}

/** Epoch milliseconds; NaN: no id of this kind. */
export function timeOfId(id: string): number {
  return /^\d{15}-/.test(id) ? Number(id.slice(0, TIME_DIGITS)) : Number.NaN;
}

/** Whether the writer of this key is to look if there are too many of them. */
export function looks(key: string): boolean {
  return createHash('sha256').update(key).digest().readUInt16BE(0) % LOOKS_EVERY === 0;
}

/** Removes what was written first until so many are left. Throws as the store does. */
export async function keepNewest(store: Store, range: Range, most: number): Promise<void> {
  if ((await store.count(range)) <= most) return;
  const { entries } = await store.list(range);
  const over = entries.toSorted(byCreation).slice(0, -most);
  for (let from = 0; from < over.length; from += MAX_DELETES) {
    const writes = over.slice(from, from + MAX_DELETES).map(({ key }) => ({ kind: 'delete', key }) as const);
    await store.commit([], writes);
  }
}

function byCreation(a: Entry, b: Entry): number {
  return a.createRevision - b.createRevision || (a.key < b.key ? -1 : 1);
}
