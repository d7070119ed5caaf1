/**
 * Streams of the engine made ready to read: events, and the pieces of multiplexed output.
 */
import { pipeline, type Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { Connection } from './connection.ts';
import { Demux, type Piece } from './demux.ts';
import { LABELS } from './spec.ts';

const OPEN_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 15_000;

/** Events of our containers, until aborted. */
export async function openEvents(connection: Connection, until: AbortSignal): Promise<AsyncIterable<Buffer>> {
  const filters = { type: ['container'], label: [LABELS.project] };
  const call = { name: 'events', what: 'tell its events', timeoutMs: OPEN_TIMEOUT_MS, slow: true };
  const stream = await connection.call(call, (docker) =>
    docker.getEvents({ filters, abortSignal: until } as Docker.GetEventsOptions),
  );
  // A host that vanished without a word is noticed on a quiet TCP connection, too.
  const { socket } = stream as Readable & { socket?: { setKeepAlive(on: boolean, ms: number): void } };
  socket?.setKeepAlive(true, KEEP_ALIVE_MS);
  return stream as Readable;
}

/** Output of a container or command; what breaks the stream fails the reading. */
export function pieces(stream: NodeJS.ReadableStream, tty: boolean): AsyncIterable<Piece> {
  const demux = new Demux({ tty });
  pipeline(stream, demux, () => {
    // The reader of demux gets the error.
  });
  return demux;
}
