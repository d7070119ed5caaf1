/**
 * The log of a run on the host that runs it: JSON lines, in segments of bounded size of which the oldest go first.
 * Who follows one that is still written reads to its end; one that is overtaken is told how much it missed.
 */
import { basename } from 'node:path';
import type { RunFolder } from './run-folder.ts';
import { readSegments } from './run-log-reader.ts';
import { segmentsIn } from './run-log-segments.ts';
import { RunLogWriter } from './run-log-writer.ts';

/** `gantryd`: what it did itself, as pulling an image. `text` where the bytes are UTF-8 without zeros, else `base64`; joined they are what was printed. */
export interface LogEntry {
  readonly run: string;
  /** 0-based index of the step. */
  readonly step: number;
  readonly stream: 'stdout' | 'stderr' | 'gantryd';
  /** ISO time when it was read. */
  readonly time: string;
  readonly text?: string;
  readonly base64?: string;
}

/**
 * Where the next entry begins: `SEGMENT:OFFSET`, for who goes on reading after his connection, or the process that wrote
 * the log, went away. Segments are counted from 1 and keep their number; the offset is in bytes. '': the beginning.
 */
export type LogPosition = string;

/** What a reader of the log gets: the entry, and where it goes on after it. */
export interface ReadEntry {
  readonly entry: LogEntry;
  readonly next: LogPosition;
}

export interface ReadLogOptions {
  /** Begins there; with `tail`: `tail` counts alone. */
  readonly from?: LogPosition;
  /** Waits for more until the run has ended. */
  readonly follow: boolean;
  /** Begins with the last so many entries. */
  readonly tail?: number;
}

/**
 * The entries of the run whose folder it is, from the beginning or as the options say. With `follow` until the run has
 * ended here. Ends when aborted. Throws output-gone where there is no folder.
 */
export function readRunLog(
  folder: RunFolder,
  options: ReadLogOptions,
  signal: AbortSignal,
): AsyncIterable<ReadEntry> {
  return readSegments(folder.path, basename(folder.path), options, signal);
}

/**
 * Whoever follows the log stops waiting: for a run that ends without an attempt on this host that would say so.
 * Idempotent; nothing where there is no folder. Throws state-write.
 */
export async function endRunLog(folder: RunFolder): Promise<void> {
  if ((await segmentsIn(folder.path)) === undefined) return;
  const writer = await RunLogWriter.open({ folder: folder.path, run: basename(folder.path), now: Date.now });
  try {
    await writer.end();
  } finally {
    await writer.close();
  }
}
