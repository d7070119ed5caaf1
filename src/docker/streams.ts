/**
 * Calls whose answer is a stream, opened: events, logs, and the pieces of multiplexed output.
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
  const call = { what: 'tell its events', timeoutMs: OPEN_TIMEOUT_MS, slow: true };
  const stream = await connection.call(call, (docker) =>
    docker.getEvents({ filters, abortSignal: until } as Docker.GetEventsOptions),
  );
  // A host that vanished without a word is noticed on a quiet TCP connection, too.
  const { socket } = stream as Readable & { socket?: { setKeepAlive(on: boolean, ms: number): void } };
  socket?.setKeepAlive(true, KEEP_ALIVE_MS);
  return stream as Readable;
}

/** Not by dockerode's own method: it parses an answer that looks like JSON, which a log may well do. */
export function openLog(
  docker: Docker,
  id: string,
  lines: number,
  abortSignal: AbortSignal,
): Promise<Readable> {
  const query = { stdout: 1, stderr: 1, tail: lines };
  return new Promise((resolve, reject) => {
    docker.modem.dial(
      {
        path: `/containers/${id}/logs?`,
        method: 'GET',
        abortSignal,
        isStream: true,
        statusCodes: { 200: true },
        options: { _query: query, _body: {} },
      },
      (error: unknown, stream: unknown) => (error ? reject(error) : resolve(stream as Readable)),
    );
  });
}

/** Output of a container or command; what breaks the stream fails the reading. */
export function pieces(stream: NodeJS.ReadableStream, tty: boolean): AsyncIterable<Piece> {
  const demux = new Demux({ tty });
  pipeline(stream, demux, () => {
    // The reader of demux gets the error.
  });
  return demux;
}
