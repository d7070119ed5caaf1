/** What both ends of the API agree on: how errors, logs and tokens look on the wire. Pure. */
import { ERROR_CODES, type ErrorCode, GantryError } from '../errors.ts';
import type { LogPosition, ReadEntry } from '../jobs/disk/run-log.ts';

/** A follower hears something at least this often: who hears nothing for much longer asks again. */
export const HEARTBEAT_MS = 10_000;
/** Longest line of a log on the wire. A run's log has shorter ones; more is no log of ours. */
export const MAX_LINE_BYTES = 4 * 1024 * 1024;
/** An empty line, between others. */
export const HEARTBEAT = '\n';

export const NDJSON = 'application/x-ndjson';
export const BYTES = 'application/octet-stream';

/** One line of a log that is read. `end`: it was read to its end; a stream that ends without it was cut. */
export type LogLine = ReadEntry | { readonly end: true };

export interface LogQuery {
  readonly follow: boolean;
  readonly from?: LogPosition;
  readonly tail?: number;
}

/** What an answer that is no success says; undefined: nothing that this API says. */
export function errorIn(text: string): GantryError | undefined {
  const { code, detail, hint, retryable } = (parsed(text) ?? {}) as Partial<Record<string, unknown>>;
  if (typeof code !== 'string' || !isCode(code) || typeof detail !== 'string') return undefined;
  return new GantryError(code, detail, {
    retryable: retryable === true,
    ...(typeof hint === 'string' ? { hint } : {}),
  });
}

export function runPath(run: string, part: 'log' | 'output' | 'input', query?: LogQuery): string {
  const path = `/v1/runs/${encodeURIComponent(run)}/${part}`;
  if (query === undefined) return path;
  const { follow, from, tail } = query;
  const words = new URLSearchParams({
    ...(follow ? { follow: '1' } : {}),
    ...(from === undefined || from === '' ? {} : { from }),
    ...(tail === undefined ? {} : { tail: String(tail) }),
  });
  return words.size === 0 ? path : `${path}?${words}`;
}

/** The words of the query for a log, as the API's routes describe them. */
export const LOG_QUERY = {
  follow: { type: 'boolean', description: 'Go on until the run has ended' },
  from: {
    type: 'string',
    pattern: '^[0-9]{1,9}:[0-9]{1,15}$',
    description: 'Begin there: the `next` of an entry, SEGMENT:OFFSET',
  },
  tail: { type: 'integer', minimum: 0, maximum: 999_999_999, description: 'Begin with the last so many' },
} as const;

/** As checked against LOG_QUERY. */
export function logQueryOf({ follow, from, tail }: Readonly<Record<string, unknown>>): LogQuery {
  return {
    follow: follow === true,
    ...(typeof from === 'string' ? { from } : {}),
    ...(typeof tail === 'number' ? { tail } : {}),
  };
}

/** undefined: no line of a log. */
export function logLineOf(text: string): LogLine | undefined {
  const value = parsed(text) as Partial<ReadEntry & { end: unknown }> | undefined;
  if (value?.end === true) return { end: true };
  if (typeof value?.next !== 'string' || typeof value.entry !== 'object') return undefined;
  return { next: value.next, entry: value.entry };
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
