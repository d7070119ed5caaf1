/**
 * Reads the log of a run, while it is written or later, in the process that writes it or another. A line that is not
 * whole yet is read anew when it is; a segment that went before it was read is told as a gap.
 */
import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { codeOf, GantryError, messageOf } from '../../errors.ts';
import { Poke } from '../../poke.ts';
import type { LogEntry, LogPosition, ReadEntry, ReadLogOptions } from './run-log.ts';
import { bytesIn, lineIn, MARK_BEGINS, SEGMENT_BYTES, SEGMENTS_KEPT } from './run-log-lines.ts';
import { isSegment, segmentPath, segmentsIn } from './run-log-segments.ts';

const READ_BYTES = 256 * 1024;
/** A change is told by the file system; where it is not, as on some network file systems, it is seen after this. */
const POLL_MS = 250;
const NEWLINE = 0x0a;

interface Place {
  readonly segment: number;
  readonly offset: number;
}

/** Of a run that is kept under `folder`. Throws output-gone where there is no log. */
export async function* readSegments(
  folder: string,
  run: string,
  options: ReadLogOptions,
  signal: AbortSignal,
): AsyncGenerator<ReadEntry, void, undefined> {
  const reader = new Reader(folder, run);
  const changes = options.follow ? new Changes(folder) : undefined;
  try {
    await reader.seek(options);
    while (!signal.aborted) {
      changes?.clear();
      for await (const read of reader.all()) {
        if (signal.aborted) return;
        yield read;
      }
      if (changes === undefined || reader.isOver) return;
      await changes.wait(signal);
    }
  } finally {
    changes?.close();
    await reader.close();
  }
}

class Reader {
  readonly #folder: string;
  readonly #run: string;
  #place: Place = { segment: 0, offset: 0 };
  #file: FileHandle | undefined;
  #buffer = Buffer.allocUnsafe(READ_BYTES);
  /** Bytes that were printed before the place; undefined: not known, for it began in the middle. */
  #before: number | undefined = 0;
  #ended = false;
  #gone = false;
  /** The segment it was to go on with was gone. */
  #skipped = false;
  /** A line without an end was seen, and that the writer has gone on to another segment. */
  #torn = false;

  constructor(folder: string, run: string) {
    this.#folder = folder;
    this.#run = run;
  }

  /** Nothing will come any more: the run has ended, or its log was removed. */
  get isOver(): boolean {
    return this.#ended || this.#gone;
  }

  async seek({ from, tail }: ReadLogOptions): Promise<void> {
    const segments = await segmentsIn(this.#folder);
    if (segments === undefined) throw noLog(this.#folder);
    const place = tail !== undefined ? await lastEntries(this.#folder, segments, tail) : placeOf(from);
    if (place !== undefined) [this.#place, this.#before] = [place, undefined];
  }

  /** All that is there now. */
  async *all(): AsyncGenerator<ReadEntry, void, undefined> {
    do {
      if (this.#file === undefined && !(await this.#openNext())) return;
      yield* this.#lines();
    } while (await this.#leave());
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** The segment of the place, or the first one after it that is there. */
  async #openNext(): Promise<boolean> {
    const segments = await segmentsIn(this.#folder);
    this.#gone = segments === undefined;
    const { segment } = this.#place;
    const next = segments?.find((number) => number >= segment);
    if (next === undefined) return false;
    const file = await opened(segmentPath(this.#folder, next));
    // It went between the look and the opening: the next look finds another one.
    if (file === undefined) return this.#openNext();
    this.#file = file;
    this.#skipped = segment > 0 && next !== segment;
    if (next !== segment) this.#place = { segment: next, offset: 0 };
    return true;
  }

  /** Whether there is a segment after the one that was read; what was written to that one meanwhile is read first. */
  async #leave(): Promise<boolean> {
    const segments = await segmentsIn(this.#folder);
    if (segments === undefined) this.#gone = true;
    const { segment, offset } = this.#place;
    if (!segments?.some((number) => number > segment)) return false;
    const size = (await this.#file?.stat())?.size ?? 0;
    if (size > offset && !this.#torn) {
      // A torn line at the very end stays torn: the writer has gone on.
      this.#torn = true;
      return true;
    }
    this.#torn = false;
    await this.close();
    this.#place = { segment: segment + 1, offset: 0 };
    return true;
  }

  async *#lines(): AsyncGenerator<ReadEntry, void, undefined> {
    for (let held = 0; this.#file !== undefined; ) {
      const { segment, offset } = this.#place;
      const buffer = this.#buffer;
      const { bytesRead } = await this.#file.read(buffer, held, buffer.length - held, offset + held);
      const filled = held + bytesRead;
      let start = 0;
      for (
        let end = buffer.indexOf(NEWLINE);
        end !== -1 && end < filled;
        end = buffer.indexOf(NEWLINE, start)
      ) {
        const text = buffer.toString('utf8', start, end);
        start = end + 1;
        this.#place = { segment, offset: offset + start };
        yield* this.#line(text);
      }
      if (bytesRead === 0) return;
      buffer.copyWithin(0, start, filled);
      held = filled - start;
      if (held === buffer.length) this.#buffer = Buffer.concat([buffer, Buffer.allocUnsafe(buffer.length)]);
    }
  }

  *#line(text: string): Generator<ReadEntry, void, undefined> {
    const line = lineIn(text);
    if (line === undefined) return;
    if (!('mark' in line)) {
      this.#ended = false;
      if (this.#before !== undefined && line.stream !== 'gantryd') this.#before += bytesIn(line);
      yield this.#read(line);
      return;
    }
    if (line.mark !== 'segment') this.#ended = line.mark === 'ended';
    if (line.mark === 'segment') yield* this.#gapBefore(line.state.total, line.state.step);
  }

  *#gapBefore(total: number, step: number): Generator<ReadEntry, void, undefined> {
    const missing = this.#before === undefined ? undefined : total - this.#before;
    this.#before = total;
    if (missing === undefined ? !this.#skipped : missing <= 0) return;
    const what = missing === undefined ? 'Some' : `${missing} bytes`;
    const text = `${what} of what was printed before this went: of a run's log the last ${KEPT_MIB} MiB are kept\n`;
    yield this.#read({ run: this.#run, step, stream: 'gantryd', time: new Date().toISOString(), text });
  }

  #read(entry: LogEntry): ReadEntry {
    return { entry, next: `${this.#place.segment}:${this.#place.offset}` };
  }
}

const KEPT_MIB = (SEGMENTS_KEPT * SEGMENT_BYTES) / 1024 ** 2;

/** Hints that something was written; may miss some, so a wait for them ends by itself as well. */
class Changes {
  readonly #poke = new Poke();
  #watcher: FSWatcher | undefined;

  constructor(folder: string) {
    try {
      // Outputs are written in the same folder, all the time, and are none of its business.
      this.#watcher = watch(folder, { persistent: false }, (_, name) => {
        if (name === null || isSegment(name)) this.#poke.poke();
      });
      this.#watcher.on('error', () => this.close());
    } catch {
      // No watches are left on this machine: it is polled.
    }
  }

  /** What changed so far is about to be looked at. */
  clear(): void {
    this.#poke.clear();
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#poke.wait(POLL_MS, signal);
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

/** Where the last `count` entries begin; undefined: at the beginning. */
async function lastEntries(
  folder: string,
  segments: readonly number[],
  count: number,
): Promise<Place | undefined> {
  let missing = count;
  for (const segment of [...segments].reverse()) {
    // One that goes meanwhile was the oldest.
    const content = await readFile(segmentPath(folder, segment)).catch(() => Buffer.alloc(0));
    const starts = entryStarts(content);
    if (missing === 0) return { segment, offset: endOf(content, starts.at(-1)) };
    const start = starts[starts.length - missing];
    if (start !== undefined) return { segment, offset: start };
    missing -= starts.length;
  }
  return undefined;
}

/** Of the line that begins there: what follows the last entry may be a mark of the end. */
function endOf(content: Buffer, start: number | undefined): number {
  return start === undefined ? 0 : content.indexOf(NEWLINE, start) + 1;
}

function entryStarts(content: Buffer): readonly number[] {
  const starts: number[] = [];
  let start = 0;
  for (let end = content.indexOf(NEWLINE); end !== -1; end = content.indexOf(NEWLINE, start)) {
    const isMark = content.subarray(start, start + MARK_BEGINS.length).equals(MARK_BEGINS);
    if (!isMark) starts.push(start);
    start = end + 1;
  }
  return starts;
}

/** What is no position is the beginning. */
function placeOf(position: LogPosition | undefined): Place | undefined {
  const [, segment, offset] = /^(\d+):(\d+)$/.exec(position ?? '') ?? [];
  return segment === undefined ? undefined : { segment: Number(segment), offset: Number(offset) };
}

async function opened(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new GantryError('output-gone', `cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function noLog(folder: string): GantryError {
  return new GantryError('output-gone', `there is no log of this run here: ${folder} does not exist`, {
    hint: 'It is on the host that ran it, for as long as the run is kept.',
  });
}
