/**
 * Who asked for what: an entry for each change that somebody asks, written in the transaction that does it, so that
 * there is no change without its entry and no entry without its change. The newest MOST_AUDITED of a project are kept;
 * whoever writes removes the others now and then. Nothing secret belongs into `detail`: names of images, numbers,
 * counts, never values of variables, inputs, or commands but that of an exec, which is what was asked.
 */
import { createHash } from 'node:crypto';
import type { AuditValue } from './event-values.ts';
import type { Keys, ProjectKeys } from './keys.ts';
import { keepNewest, looks, timeId } from './newest.ts';
import { type Store, startingWith, type Write } from './store.ts';
import { FORMAT } from './value-reader.ts';

export const MOST_AUDITED = 1_000;
/** Of a detail: what is longer is cut. */
const MAX_DETAIL = 300;
const MARK_DIGITS = 12;
const AUDIT = /\/(?:audit|token-audit)\/\d{15}-[0-9a-f]+$/;

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
  /** Of the command: with the same `at` it is the same entry, however often it is written. */
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

/** After a commit: now and then one sees to it that there are not too many. Throws as the store does. */
export async function pruneAudited(store: Store, writes: readonly Write[]): Promise<void> {
  const due = writes.find(({ key }) => AUDIT.test(key) && looks(key));
  if (due === undefined) return;
  await keepNewest(store, startingWith(due.key.slice(0, due.key.lastIndexOf('/') + 1)), MOST_AUDITED);
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
