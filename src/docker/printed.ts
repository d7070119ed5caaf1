/**
 * All that a container printed and prints, from the engine's log. A log that is followed may end before its last
 * entries, as those of Docker 20.10 often do: once the container has ended the log is read again, for what was missing.
 */
import type { Readable } from 'node:stream';
import { type Connection, getStream } from './connection.ts';
import type { Piece } from './demux.ts';
import { gone, goneOr, inspectContainer, short } from './inspect.ts';
import { outputOf, stopped } from './output.ts';

const OPEN_MS = 10_000;

/** See JobEngine.printed. */
export async function printedBy(
  connection: Connection,
  id: string,
  stop: AbortSignal,
): Promise<AsyncIterable<Piece>> {
  const log = new Log(connection, id, stop);
  if (!(await log.runs())) return log.read();
  return followed(await log.read('follow'), () => log.read());
}

async function* followed(
  live: AsyncIterable<Piece>,
  again: () => Promise<AsyncIterable<Piece>>,
): AsyncGenerator<Piece> {
  const seen = { stdout: 0, stderr: 0 };
  for await (const piece of live) {
    seen[piece.source] += piece.bytes.length;
    yield piece;
  }
  for await (const { source, bytes } of await again()) {
    const known = Math.min(seen[source], bytes.length);
    seen[source] -= known;
    if (known < bytes.length) yield { source, bytes: bytes.subarray(known) };
  }
}

class Log {
  readonly #connection: Connection;
  readonly #id: string;
  readonly #stop: AbortSignal;

  constructor(connection: Connection, id: string, stop: AbortSignal) {
    this.#connection = connection;
    this.#id = id;
    this.#stop = stop;
  }

  async runs(): Promise<boolean> {
    const limits = { timeoutMs: OPEN_MS, until: this.#stop };
    const asked = inspectContainer(this.#connection, this.#id, limits);
    const info = await asked.catch((error) => this.#fail(error));
    if (info === undefined) throw gone(this.#id, new Error('no such container'));
    return info.State.Running;
  }

  async read(follow?: 'follow'): Promise<AsyncIterable<Piece>> {
    const [connection, id, stop] = [this.#connection, this.#id, this.#stop];
    const { address } = await connection.info();
    const stream = await this.#open(follow === undefined ? 0 : 1).catch((error) => this.#fail(error));
    return outputOf({ connection, address, id, stream, stop });
  }

  #open(follow: 0 | 1): Promise<Readable> {
    const what = `tell what ${short(this.#id)} printed`;
    const call = { name: 'logs', what, timeoutMs: OPEN_MS, slow: true, until: this.#stop };
    const path = `/containers/${encodeURIComponent(this.#id)}/logs`;
    return this.#connection.open(call, (docker, opening) =>
      getStream(docker, path, { follow, stdout: 1, stderr: 1 }, opening).catch((error) =>
        Promise.reject(goneOr(this.#id, error)),
      ),
    );
  }

  #fail(error: unknown): never {
    throw this.#stop.aborted ? stopped(this.#id, this.#stop) : error;
  }
}
