/**
 * Who asked for what: an entry for each change that somebody asks, written in the transaction that does it, so that
 * there is no change without its entry and no entry without its change. The newest MOST_AUDITED of a project are kept;
 * whoever writes removes the others now and then. Nothing secret belongs into `detail`: names of images, numbers,
 * counts, never values of variables, commands or inputs.
 */
import { createHash } from 'node:crypto';
import type { AuditValue } from './event-values.ts';
import type { Keys, ProjectKeys } from './keys.ts';
import { type Range, type Store, startingWith, type Write } from './store.ts';
import { FORMAT } from './value-reader.ts';

export const MOST_AUDITED = 1_000;
/** Of these entries one looks whether there are too many. */
const LOOKS_EVERY = 64;
/** etcd takes 128 in a transaction. */
const MAX_DELETES = 100;
/** Of a detail: what is longer is cut. */
const MAX_DETAIL = 300;
/** Milliseconds of the next two thousand years: the order of the keys is the order of time. */
const TIME_DIGITS = 15;
const MARK_DIGITS = 12;

export interface Audited {
  /** `user@machine`, or `token:NAME`. */
  readonly by: string;
  /** As the command is called: `update`, `scale`, `cron push`. */
  readonly action: string;
  /** Component, run, schedule, secret or token names; []: the project. */
  readonly on: readonly string[];
  readonly detail?: string;
  /** Epoch milliseconds. */
  readonly at: number;
  /**
   * Of the command. The same command's second try has the same id and `at`, and so the same key: it is never two
   * entries.
   */
  readonly id: string;
}

/** To be written in the same transaction as what was asked. */
export function auditWrite(keys: Pick<ProjectKeys, 'asked'>, audited: Audited): Write {
  return written(keys.asked(auditId(audited)), audited);
}

/** The same for tokens, which are of no project. */
export function tokenAuditWrite(keys: Pick<Keys, 'askedOfToken'>, audited: Audited): Write {
  return written(keys.askedOfToken(auditId(audited)), audited);
}

/** In the order of time, as the ids of events are. */
export function timeId(at: number, rest: string): string {
  return `${String(Math.max(0, Math.floor(at))).padStart(TIME_DIGITS, '0')}-${rest}`;
}

/** Epoch milliseconds; NaN: no id of this kind. */
export function timeOfId(id: string): number {
  return /^\d{15}-/.test(id) ? Number(id.slice(0, TIME_DIGITS)) : Number.NaN;
}

/** After a commit: one in LOOKS_EVERY entries sees to it that there are not too many. Throws as the store does. */
export async function pruneAudited(store: Store, writes: readonly Write[]): Promise<void> {
  const due = writes.find((write) => write.kind === 'put' && isDue(write.key));
  if (due === undefined) return;
  await keepNewest(store, startingWith(due.key.slice(0, due.key.lastIndexOf('/') + 1)), MOST_AUDITED);
}

/** Removes what comes first in the range until so many are left. Throws as the store does. */
export async function keepNewest(store: Store, range: Range, most: number): Promise<void> {
  if ((await store.count(range)) <= most) return;
  const { entries } = await store.list(range);
  const over = entries.slice(0, Math.max(0, entries.length - most));
  for (let from = 0; from < over.length; from += MAX_DELETES) {
    const writes = over.slice(from, from + MAX_DELETES).map(({ key }) => ({ kind: 'delete', key }) as const);
    await store.commit([], writes);
  }
}

function auditId({ at, id, action, on }: Audited): string {
  const mark = createHash('sha256')
    .update(JSON.stringify([id, action, on]))
    .digest('hex');
  return timeId(at, mark.slice(0, MARK_DIGITS));
}

function written(key: string, { by, action, on, detail = '', at }: Audited): Write {
  const value: AuditValue = {
    ...{ format: FORMAT, at: new Date(at).toISOString(), by, action, on },
    detail: detail.length > MAX_DETAIL ? `${detail.slice(0, MAX_DETAIL)}…` : detail,
  };
  return { kind: 'put', key, value: JSON.stringify(value) };
}

/** By the key itself, so that it needs nothing remembered and no chance. */
function isDue(key: string): boolean {
  const mark = /\/(?:audit|token-audit)\/\d{15}-[0-9a-f]{10}([0-9a-f]{2})$/.exec(key)?.[1];
  return mark !== undefined && Number.parseInt(mark, 16) % LOOKS_EVERY === 0;
}
