/** What both ends of the API agree on: how errors, logs and tokens look on the wire. Pure. */
import { ERROR_CODES, type ErrorCode, GantryError } from '../errors.ts';
import type { LogPosition, ReadEntry } from '../jobs/run-log.ts';

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

/** The body of every answer that is no success. */
export interface ErrorBody {
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hint?: string;
    readonly retryable: boolean;
  };
}

export function errorBody({ code, message, hint, retryable }: GantryError): ErrorBody {
  return { error: { code, message, retryable, ...(hint === undefined ? {} : { hint }) } };
}

/** undefined: nothing that this API says. */
export function errorIn(text: string): GantryError | undefined {
  const { error } = (parsed(text) ?? {}) as { readonly error?: Partial<Record<string, unknown>> };
  const { code, message, hint, retryable } = error ?? {};
  if (typeof code !== 'string' || !isCode(code) || typeof message !== 'string') return undefined;
  return new GantryError(code, message, {
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

/** Throws usage: what is asked for is not one of these. */
export function logQueryOf(query: URLSearchParams): LogQuery {
  const from = query.get('from') ?? '';
  const tail = query.get('tail');
  if (from !== '' && !/^\d{1,9}:\d{1,15}$/.test(from)) throw wrong('from', from, 'SEGMENT:OFFSET');
  if (tail !== null && !/^\d{1,9}$/.test(tail)) throw wrong('tail', tail, 'a number');
  return {
    follow: query.get('follow') === '1',
    ...(from === '' ? {} : { from }),
    ...(tail === null ? {} : { tail: Number(tail) }),
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

function wrong(name: string, value: string, form: string): GantryError {
  return new GantryError('usage', `${name}=${value.slice(0, 100)} is not ${form}`);
}

function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
