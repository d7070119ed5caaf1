/**
 * Where the words of a run go while a command waits for it: what its containers print to the streams they printed it to,
 * byte for byte, and what gantryd says itself to stderr. For programs all of it is one JSON value a line on stdout.
 */
import { isUtf8 } from 'node:buffer';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { RunValue } from '../../cluster/job-values.ts';
import { GantryError } from '../../errors.ts';
import type { LogEntry } from '../../jobs/disk/run-log.ts';
import type { Printed } from '../../jobs/execution/execution.ts';
import { runDocument } from '../../jobs/intents/documents.ts';
import type { LogLevel } from '../options.ts';
import { printable } from '../render.ts';
import type { Streams } from '../streams.ts';
import { exitCodeOf, toldAtTheEnd } from './words.ts';

export interface SinkOptions {
  readonly json: boolean;
  readonly level: LogLevel;
  /** Whether what containers print is shown. */
  readonly showLogs: boolean;
  /** Called when nobody reads what is told any more, or it cannot be written. */
  readonly onUnread?: () => void;
  /** Absent: those of this process. */
  readonly streams?: Streams;
}

export interface Sink {
  /** Resolves when there is room for more. */
  printed(run: string, printed: Printed): Promise<void>;
  /** The same, as it stands in a log. */
  entry(entry: LogEntry): Promise<void>;
  /** What gantryd does about the run itself. */
  note(words: string): void;
  /** How it ended; answers the command's exit code. */
  ended(run: RunValue): number;
}

export function openSink(options: SinkOptions): Sink {
  return options.json ? jsonSink(options) : humanSink(options);
}

function humanSink({ level, showLogs, onUnread, streams = process }: SinkOptions): Sink {
  const note = (words: string) => {
    if (level === 'info' || level === 'debug') streams.stderr.write(`${words}\n`);
  };
  const show = async (stream: Printed['stream'], bytes: Buffer): Promise<void> => {
    if (stream === 'gantryd') note(printable(bytes.toString('utf8').trimEnd()));
    else if (showLogs && !(await written(streams[stream], bytes)) && stream === 'stdout') onUnread?.();
  };
  return {
    printed: (_, { stream, bytes }) => show(stream, bytes),
    entry: (entry) => show(entry.stream, bytesOf(entry)),
    note,
    ended(run) {
      const words = toldAtTheEnd(run);
      if (words !== undefined && level !== 'silent') streams.stderr.write(`${words}\n`);
      return exitCodeOf(run);
    },
  };
}

function jsonSink({ showLogs, onUnread, streams = process }: SinkOptions): Sink {
  const write = async (value: unknown) => {
    const isRead = await written(streams.stdout, Buffer.from(`${JSON.stringify(value)}\n`));
    if (!isRead) onUnread?.();
  };
  const isShown = (stream: LogEntry['stream']) => showLogs || stream === 'gantryd';
  return {
    printed: async (run, printed) => {
      if (isShown(printed.stream)) await write(entryOf(run, printed));
    },
    entry: async (entry) => {
      if (isShown(entry.stream)) await write(entry);
    },
    note() {},
    ended(run) {
      void write(runDocument(run));
      return exitCodeOf(run);
    },
  };
}

export function bytesOf({ text, base64 }: LogEntry): Buffer {
  return text === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(text);
}

function entryOf(run: string, { step, stream, bytes }: Printed): LogEntry {
  const content = isUtf8(bytes) ? { text: bytes.toString('utf8') } : { base64: bytes.toString('base64') };
  return { run, step, stream, time: new Date().toISOString(), ...content };
}

/** Streams that take nothing any more. Those of a process forget it themselves, and fail with each write anew. */
const broken = new WeakSet<Writable>();

/**
 * Resolves when there is room for more; false: nobody reads it any more, or it cannot be written, which main tells. Never
 * rejects: a reader that went away does not end what is under way.
 */
export async function written(stream: Writable, bytes: Buffer): Promise<boolean> {
  if (stream.destroyed || broken.has(stream)) return false;
  const failed = (error: unknown) => error && broken.add(stream);
  if (stream.write(bytes, failed)) return true;
  const either = new AbortController();
  const options = { signal: either.signal };
  await Promise.race([once(stream, 'drain', options), once(stream, 'close', options)]).catch(failed);
  either.abort();
  return !broken.has(stream);
}

/** What a command that followed a run says when it is ended itself. */
export function leftAlone(run: string, program: string): GantryError {
  return new GantryError('interrupted', `This command follows no more; ${run} goes on`, {
    hint: `${program} job show ${run} tells how far it is, ${program} job cancel ${run} ends it.`,
  });
}
