/**
 * Writes the log of a run. Opened again after a crash it removes a torn last line and knows from the files themselves
 * how much of the step is logged. One writer at a time.
 */
import { type FileHandle, open, readFile, rename, truncate, writeFile } from 'node:fs/promises';
import { removeIfThere, stateWriteError } from '../../durable-file.ts';
import { GatheredWrites } from './gathered-writes.ts';
import type { LogEntry, LogPosition } from './run-log.ts';
import {
  after,
  CHUNK_BYTES,
  contentOf,
  type LogState,
  lineIn,
  lineOf,
  type Mark,
  NOTHING_LOGGED,
  type Printing,
  SEGMENT_BYTES,
  SEGMENTS_KEPT,
  wholeCharacters,
} from './run-log-lines.ts';
import { segmentPath, segmentsIn } from './run-log-segments.ts';

interface Piece {
  readonly stream: Printing;
  readonly bytes: Buffer;
}

interface OpenSegment {
  readonly number: number;
  readonly file: FileHandle;
  bytes: number;
}

export interface LogWriterOptions {
  readonly folder: string;
  readonly run: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly onLogged?: OnLogged | undefined;
}

/** What was just logged, and the place in the log behind it. Awaited before more is: who is slow slows the container. */
export type OnLogged = (entries: readonly LogEntry[], next: LogPosition) => Promise<void>;

export class RunLogWriter {
  readonly #options: LogWriterOptions;
  readonly #writes = new GatheredWrites((pieces: readonly Piece[]) => this.#writePieces(pieces));
  /** Bytes of a character of which the end has not come. */
  readonly #begun: Record<Printing, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  #onLogged: OnLogged | undefined;
  #segment: OpenSegment;
  #state: LogState;
  #ended: boolean;

  private constructor(options: LogWriterOptions, segment: OpenSegment, found: Found) {
    this.#options = options;
    this.#onLogged = options.onLogged;
    this.#segment = segment;
    this.#state = found.state;
    this.#ended = found.ended;
  }

  /** Throws state-write, as all its calls do. */
  static async open(options: LogWriterOptions): Promise<RunLogWriter> {
    const { folder } = options;
    try {
      const found = (await lastSegment(folder)) ?? (await newSegment(folder, 1, NOTHING_LOGGED));
      const file = await open(segmentPath(folder, found.number), 'a', 0o600);
      return new RunLogWriter(options, { number: found.number, file, bytes: found.bytes }, found);
    } catch (error) {
      throw stateWriteError(folder, error);
    }
  }

  /** What is in the log, once all that was given is written. */
  get state(): LogState {
    return this.#state;
  }

  /** A step begins, from its first byte. */
  async begin(attempt: number, step: number): Promise<void> {
    await this.settle();
    await this.#append([{ mark: 'begin', attempt, step }]);
  }

  /** What the step of the last `begin` printed. A promise: wait for it before more is given. */
  print(stream: Printing, bytes: Buffer): Promise<void> | undefined {
    return this.#writes.add({ stream, bytes });
  }

  /** What gantryd has to say about the step. `text` has no line end. */
  async note(step: number, text: string): Promise<void> {
    await this.#writes.flush();
    await this.#append([this.#entry(step, 'gantryd', { text: `${text}\n` })]);
  }

  /** That the rest of what it gives to the next step is not logged. */
  async limited(text: string): Promise<void> {
    await this.settle();
    const said = this.#entry(this.#state.step, 'gantryd', { text: `${text}\n` });
    await this.#append([said, { mark: 'limited' }]);
  }

  /** All is written, the beginning of a character whose end does not come too. */
  async settle(): Promise<void> {
    await this.#writes.flush();
    const rest = (['stdout', 'stderr'] as const).filter((stream) => this.#begun[stream].length > 0);
    if (rest.length === 0) return;
    await this.#append(
      rest.map((stream) => this.#entry(this.#state.step, stream, contentOf(this.#takeBegun(stream)))),
    );
  }

  /** Who follows it need not wait any more. Once is enough. */
  async end(): Promise<void> {
    await this.settle();
    if (!this.#ended) await this.#append([{ mark: 'ended' }]);
  }

  /** Writes what was given. What could not be written was told before. Idempotent, never throws. */
  async close(): Promise<void> {
    await this.#writes.flush().catch(() => undefined);
    await this.#segment.file.close().catch(() => undefined);
  }

  /** Pieces of one stream that come together are one entry. */
  async #writePieces(pieces: readonly Piece[]): Promise<void> {
    const lines: LogEntry[] = [];
    for (let at = 0; at < pieces.length; ) {
      const stream = pieces[at]?.stream ?? 'stdout';
      let to = at + 1;
      while (pieces[to]?.stream === stream) to++;
      const run = pieces.slice(at, to).map((piece) => piece.bytes);
      lines.push(...this.#entries(stream, joined([this.#takeBegun(stream), ...run])));
      at = to;
    }
    await this.#append(lines);
  }

  *#entries(stream: Printing, bytes: Buffer): Generator<LogEntry> {
    for (let at = 0; at < bytes.length; ) {
      const rest = bytes.subarray(at);
      const length = wholeCharacters(rest, CHUNK_BYTES);
      if (length === 0) {
        this.#begun[stream] = Buffer.from(rest);
        return;
      }
      yield this.#entry(this.#state.step, stream, contentOf(rest.subarray(0, length)));
      at += length;
    }
  }

  #takeBegun(stream: Printing): Buffer {
    const begun = this.#begun[stream];
    this.#begun[stream] = Buffer.alloc(0);
    return begun;
  }

  #entry(step: number, stream: LogEntry['stream'], content: Pick<LogEntry, 'text' | 'base64'>): LogEntry {
    const time = new Date(this.#options.now()).toISOString();
    return { run: this.#options.run, step, stream, time, ...content };
  }

  async #append(lines: readonly (LogEntry | Mark)[]): Promise<void> {
    try {
      for (const part of inSegments(lines, SEGMENT_BYTES - this.#segment.bytes)) {
        if (part.next) await this.#nextSegment();
        await this.#segment.file.appendFile(part.text);
        this.#segment.bytes += Buffer.byteLength(part.text);
        this.#state = part.lines.reduce(after, this.#state);
      }
      const last = lines.at(-1);
      if (last !== undefined) this.#ended = 'mark' in last && last.mark === 'ended';
    } catch (error) {
      // A disk that is full has taken half a line.
      await this.#segment.file.truncate(this.#segment.bytes).catch(() => undefined);
      throw stateWriteError(segmentPath(this.#options.folder, this.#segment.number), error);
    }
    await this.#told(lines.flatMap((line) => ('mark' in line ? [] : [line])));
  }

  /** A watcher that fails is told no more; the run does not end for it. */
  async #told(entries: readonly LogEntry[]): Promise<void> {
    if (entries.length === 0 || this.#onLogged === undefined) return;
    try {
      await this.#onLogged(entries, `${this.#segment.number}:${this.#segment.bytes}`);
    } catch {
      this.#onLogged = undefined;
    }
  }

  async #nextSegment(): Promise<void> {
    const { folder } = this.#options;
    const { number, bytes } = await newSegment(folder, this.#segment.number + 1, this.#state);
    await this.#segment.file.close();
    this.#segment = { number, bytes, file: await open(segmentPath(folder, number), 'a', 0o600) };
    await removeIfThere(segmentPath(folder, number - SEGMENTS_KEPT));
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  const [first, ...others] = parts.filter((part) => part.length > 0);
  return first !== undefined && others.length === 0 ? first : Buffer.concat(parts);
}

interface Part {
  /** Begins another segment. */
  readonly next: boolean;
  readonly lines: readonly (LogEntry | Mark)[];
  readonly text: string;
}

/** `room`: bytes that the segment has left. */
function* inSegments(lines: readonly (LogEntry | Mark)[], room: number): Generator<Part> {
  let left = room;
  let next = false;
  let taken: (LogEntry | Mark)[] = [];
  let text = '';
  for (const line of lines) {
    const written = lineOf(line);
    const bytes = Buffer.byteLength(written);
    if (bytes > left) {
      if (text !== '') yield { next, lines: taken, text };
      [next, left, taken, text] = [true, SEGMENT_BYTES, [], ''];
    }
    taken.push(line);
    text += written;
    left -= bytes;
  }
  if (text !== '') yield { next, lines: taken, text };
}

interface Found {
  readonly number: number;
  readonly bytes: number;
  readonly state: LogState;
  readonly ended: boolean;
}

/** Under another name first: a segment that is there has its beginning. */
async function newSegment(folder: string, number: number, state: LogState): Promise<Found> {
  const path = segmentPath(folder, number);
  const text = lineOf({ mark: 'segment', state });
  await writeFile(`${path}.tmp`, text, { mode: 0o600 });
  await rename(`${path}.tmp`, path);
  return { number, bytes: Buffer.byteLength(text), state, ended: false };
}

/** As it was left, without what a crash tore. One of which nothing is left is removed. */
async function lastSegment(folder: string): Promise<Found | undefined> {
  for (const number of [...((await segmentsIn(folder)) ?? [])].reverse()) {
    const path = segmentPath(folder, number);
    const found = understood(number, await readFile(path));
    if (found !== undefined) {
      await truncate(path, found.bytes);
      return found;
    }
    await removeIfThere(path);
  }
  return undefined;
}

function understood(number: number, content: Buffer): Found | undefined {
  const bytes = content.lastIndexOf('\n') + 1;
  const lines = content
    .subarray(0, bytes)
    .toString('utf8')
    .split('\n')
    .flatMap((text) => lineIn(text) ?? []);
  const [first] = lines;
  if (first === undefined || !('mark' in first) || first.mark !== 'segment') return undefined;
  const last = lines.at(-1);
  const ended = last !== undefined && 'mark' in last && last.mark === 'ended';
  return { number, bytes, state: lines.reduce(after, NOTHING_LOGGED), ended };
}
