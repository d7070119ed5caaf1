/**
 * The lines of a run's log: entries, and marks that only gantryd reads. A segment begins with a mark of what is in the
 * segments before it, so that each can be understood alone. Pure.
 */
import { isUtf8 } from 'node:buffer';
import type { LogEntry } from './run-log.ts';

/** Of what a step prints, in one entry. */
export const CHUNK_BYTES = 16 * 1024;
export const SEGMENT_BYTES = 8 * 1024 * 1024;
export const SEGMENTS_KEPT = 8;

export type Printing = 'stdout' | 'stderr';

/** How far the log is: what a writer that goes on after another one must know. */
export interface LogState {
  readonly attempt: number;
  readonly step: number;
  /** Bytes of the step that are in the log. */
  readonly stdout: number;
  readonly stderr: number;
  /** That the rest of what the step gives to the next one is not logged has been said. */
  readonly limited: boolean;
  /** Bytes of all steps and attempts that are, or were, in the log. */
  readonly total: number;
}

export const NOTHING_LOGGED: LogState = {
  ...{ attempt: 0, step: 0, stdout: 0, stderr: 0, limited: false, total: 0 },
};

/** `begin`: of a step, anew. */
export type Mark =
  | { readonly mark: 'segment'; readonly state: LogState }
  | { readonly mark: 'begin'; readonly attempt: number; readonly step: number }
  | { readonly mark: 'limited' }
  | { readonly mark: 'ended' };

export function lineOf(line: LogEntry | Mark): string {
  return `${JSON.stringify(line)}\n`;
}

/** undefined: it is none, as a line that a crash has torn. */
export function lineIn(text: string): LogEntry | Mark | undefined {
  try {
    const line: unknown = JSON.parse(text);
    if (typeof line !== 'object' || line === null) return undefined;
    return 'mark' in line || 'stream' in line ? (line as LogEntry | Mark) : undefined;
  } catch {
    return undefined;
  }
}

/** Fit for a glance at the bytes: every mark begins so, and no entry does. */
export const MARK_BEGINS = Buffer.from('{"mark":');

export function after(state: LogState, line: LogEntry | Mark): LogState {
  if (!('mark' in line)) return afterEntry(state, line);
  switch (line.mark) {
    case 'segment':
      return line.state;
    case 'begin':
      return { ...NOTHING_LOGGED, attempt: line.attempt, step: line.step, total: state.total };
    case 'limited':
      return { ...state, limited: true };
    case 'ended':
      return state;
  }
}

function afterEntry(state: LogState, entry: LogEntry): LogState {
  if (entry.stream === 'gantryd') return state;
  const bytes = bytesIn(entry);
  return { ...state, [entry.stream]: state[entry.stream] + bytes, total: state.total + bytes };
}

export function bytesIn({ text, base64 }: LogEntry): number {
  return text !== undefined ? Buffer.byteLength(text) : Buffer.byteLength(base64 ?? '', 'base64');
}

/** Text where it is such, else base64. Zeros are UTF-8, too, but no text, and JSON would make six bytes of each. */
export function contentOf(bytes: Buffer): Pick<LogEntry, 'text' | 'base64'> {
  return isUtf8(bytes) && !bytes.includes(0)
    ? { text: bytes.toString('utf8') }
    : { base64: bytes.toString('base64') };
}

/** How many of the first `limit` bytes do not end in the middle of a character: all, where they are no text. */
export function wholeCharacters(bytes: Buffer, limit: number): number {
  const end = Math.min(bytes.length, limit);
  for (let back = 1; back <= Math.min(3, end); back++) {
    const byte = bytes[end - back] ?? 0;
    if (byte < 0x80) return end;
    if (byte >= 0xc0) return lengthOfCharacter(byte) > back ? end - back : end;
  }
  return end;
}

/** By its first byte, of those from 0xc0. */
function lengthOfCharacter(first: number): number {
  if (first >= 0xf8) return 1; // no character begins so
  if (first >= 0xf0) return 4;
  return first >= 0xe0 ? 3 : 2;
}
