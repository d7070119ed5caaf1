/**
 * The log of one container line by line, each with the time the engine noted for it. With timestamps the engine puts
 * one into each frame, and a long line comes in several: https://docs.docker.com/reference/api/engine/ "Stream format"
 */
import type { Readable } from 'node:stream';
import { GantryError } from '../errors.ts';
import { type Connection, getStream } from './connection.ts';
import { onAbort } from './deadline.ts';
import type { Piece } from './demux.ts';
import { brokenOff, isUnreadableLog, statusOf, wordsOf } from './failures.ts';
import { gone, goneOr, inspectContainer, short } from './inspect.ts';
import { Head, LINE_BYTES } from './lines.ts';

const OPEN_MS = 10_000;
const HEADER_BYTES = 8;
/** More than any log driver puts into one entry. */
const MAX_FRAME_BYTES = 2 * 1024 * 1024;
const LINE_END = 10;

export interface LogLine {
  readonly stream: 'stdout' | 'stderr';
  /** ISO time with nanoseconds, all of one length: their order as text is that of time. */
  readonly time: string;
  /** Without its end; cut at LINE_BYTES. */
  readonly text: string;
}

export interface LineQuery {
  /** Until the container has ended, if it runs. An engine may leave out the last lines then. */
  readonly follow: boolean;
  /** Epoch milliseconds. */
  readonly since?: number;
  /** Only the last so many of them. */
  readonly tail?: number;
}

/** What an engine's log of a container has: ends early when aborted. container-gone; engine-failed where it keeps none. */
export async function* linesOfLog(
  connection: Connection,
  id: string,
  query: LineQuery,
  signal: AbortSignal,
): AsyncGenerator<LogLine, void, undefined> {
  if (signal.aborted) return;
  const limits = { timeoutMs: OPEN_MS, until: signal };
  try {
    const info = await inspectContainer(connection, id, limits);
    if (info === undefined) throw gone(id, new Error('no such container'));
    const follow = query.follow && info.State.Running;
    const stream = await open(connection, id, { ...query, follow }, signal);
    for (const end of [signal, connection.closing])
      stream.once(
        'close',
        onAbort(end, () => stream.destroy()),
      );
    yield* lines(frames(stream));
    if (follow && (await inspectContainer(connection, id, limits))?.State.Running === true)
      throw new Error('the log ended before the container');
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof GantryError) throw error;
    const { address } = await connection.info();
    throw brokenOff(`go on telling what ${short(id)} prints`, address, error);
  }
}

function open(
  connection: Connection,
  id: string,
  { follow, since, tail }: LineQuery,
  until: AbortSignal,
): Promise<Readable> {
  const what = `tell what ${short(id)} printed`;
  const call = { name: 'logs', what, timeoutMs: OPEN_MS, slow: true, until };
  const path = `/containers/${encodeURIComponent(id)}/logs`;
  const asked = {
    ...{ follow: follow ? 1 : 0, stdout: 1, stderr: 1, timestamps: 1 },
    ...(since === undefined ? {} : { since: (since / 1000).toFixed(3) }),
    ...(tail === undefined ? {} : { tail }),
  };
  return connection.open(call, (docker, opening) =>
    getStream(docker, path, asked, opening).catch((error) => Promise.reject(unreadable(id, error))),
  );
}

function unreadable(id: string, error: unknown): unknown {
  if (!isUnreadableLog(error)) return goneOr(id, error);
  if (statusOf(error) === 409) return gone(id, error); // it is being removed
  return new GantryError('engine-failed', `The log of ${short(id)} cannot be read: ${wordsOf(error)}`, {
    hint: 'Its log driver keeps none that the engine can read: see `logging` of the component.',
    cause: error,
  });
}

/** Whole, so that it is known where one begins. */
async function* frames(stream: AsyncIterable<Buffer>): AsyncGenerator<Piece, void, undefined> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    let from = 0;
    for (let size = sizeAt(held, from); from + size <= held.length; size = sizeAt(held, from)) {
      const source = held.readUInt8(from) < 2 ? 'stdout' : 'stderr';
      yield { source, bytes: held.subarray(from + HEADER_BYTES, from + size) };
      from += size;
    }
    held = held.subarray(from);
  }
  if (held.length > 0) throw new Error('the log ended within an entry');
}

/** Of the frame that begins there, with its header; Infinity: not known yet. */
function sizeAt(held: Buffer, from: number): number {
  if (held.length - from < HEADER_BYTES) return Number.POSITIVE_INFINITY;
  const length = held.readUInt32BE(from + 4);
  if (held.readUInt8(from) > 3 || held.readUIntBE(from + 1, 3) !== 0 || length > MAX_FRAME_BYTES)
    throw new Error('the log is not multiplexed');
  return HEADER_BYTES + length;
}

async function* lines(entries: AsyncIterable<Piece>): AsyncGenerator<LogLine, void, undefined> {
  const open: Record<Piece['source'], { readonly time: string; readonly head: Head } | undefined> = {
    stdout: undefined,
    stderr: undefined,
  };
  for await (const { source, bytes } of entries) {
    const { time, said } = timed(bytes);
    const isWhole = said.at(-1) === LINE_END;
    const line = open[source] ?? { time, head: new Head(LINE_BYTES) };
    line.head.add(isWhole ? said.subarray(0, -1) : said);
    open[source] = isWhole ? undefined : line;
    if (isWhole) yield lineOf(source, line);
  }
  for (const source of ['stdout', 'stderr'] as const)
    if (open[source] !== undefined) yield lineOf(source, open[source]);
}

/** `2030-01-31T12:00:00.000000000Z what it said` */
function timed(bytes: Buffer): { readonly time: string; readonly said: Buffer } {
  const end = bytes.indexOf(0x20);
  const time = bytes.subarray(0, Math.max(end, 0)).toString('latin1');
  if (Number.isNaN(Date.parse(time))) throw new Error('an entry of the log has no time');
  return { time, said: bytes.subarray(end + 1) };
}

function lineOf(
  stream: Piece['source'],
  { time, head }: { readonly time: string; readonly head: Head },
): LogLine {
  const text = head.text();
  return { stream, time, text: text.endsWith('\r') ? text.slice(0, -1) : text };
}
