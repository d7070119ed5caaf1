/**
 * What a container prints, from a stream of the engine, until the container has ended. A stream that ends while its
 * container runs was cut by an engine that went away: that is an error, never an end.
 */
import type { Readable } from 'node:stream';
import { GantryError } from '../errors.ts';
import type { Connection } from './connection.ts';
import { onAbort } from './deadline.ts';
import type { Piece } from './demux.ts';
import { brokenOff } from './failures.ts';
import { inspectContainer, short } from './inspect.ts';
import { pieces } from './streams.ts';

const INSPECT_MS = 10_000;

export interface Source {
  readonly connection: Connection;
  /** Where the engine is. */
  readonly address: string;
  /** Of the container. */
  readonly id: string;
  readonly stream: Readable;
  /** Ends the reading with its reason, if that is a GantryError, else with `interrupted`. */
  readonly stop: AbortSignal;
}

/** The stream is taken hold of at once; it flows as it is read. */
export function outputOf(source: Source): AsyncIterable<Piece> {
  const { stream, stop, connection } = source;
  for (const signal of [stop, connection.closing]) {
    const detach = onAbort(signal, () => stream.destroy());
    stream.once('close', detach);
  }
  return read(source, pieces(stream, false));
}

async function* read(source: Source, output: AsyncIterable<Piece>): AsyncGenerator<Piece> {
  try {
    yield* output;
  } catch (error) {
    throw failure(source, error);
  }
  if (await stillRuns(source)) throw failure(source, new Error('the stream ended before the container'));
}

async function stillRuns({ connection, id, stop }: Source): Promise<boolean> {
  const info = await inspectContainer(connection, id, { timeoutMs: INSPECT_MS, until: stop }).catch((error) =>
    Promise.reject(stop.aborted ? stopped(id, stop) : error),
  );
  return info?.State.Running === true;
}

function failure({ connection, address, id, stop }: Source, error: unknown): GantryError {
  if (stop.aborted) return stopped(id, stop);
  if (connection.closing.aborted) return connection.closing.reason;
  return brokenOff(`go on telling what ${short(id)} prints`, address, error);
}

/** Why the reading ended: whoever stopped it said, or `interrupted`. */
export function stopped(id: string, stop: AbortSignal): GantryError {
  if (stop.reason instanceof GantryError) return stop.reason;
  const message = `Reading what the container ${short(id)} prints was interrupted.`;
  return new GantryError('interrupted', message, { cause: stop.reason });
}
