/**
 * Both ends of a container's standard streams. Each has a connection of its own: what is written to a container that
 * has ended breaks the connection it is written to, and would take what was printed but not yet read along.
 */
import { type Duplex, Writable } from 'node:stream';
import { GantryError } from '../errors.ts';
import { type Connection, hijack } from './connection.ts';
import { onAbort } from './deadline.ts';
import { goneOr, short } from './inspect.ts';
import type { Attachment } from './job-engine.ts';
import { outputOf } from './output.ts';

const OPEN_MS = 30_000;

export async function attachTo(connection: Connection, id: string): Promise<Attachment> {
  const { address } = await connection.info();
  const [printed, fed] = await bothOrNone(
    dial(connection, id, { stdout: 1, stderr: 1 }),
    dial(connection, id, { stdin: 1 }),
  );
  const stop = new AbortController();
  const input = new ContainerInput(fed);
  // Of a container that has ended the engine leaves open what nothing is printed to.
  for (const end of ['end', 'close']) printed.once(end, () => input.break());
  const output = outputOf({ connection, address, id, stream: printed, stop: stop.signal });
  const close = () => {
    stop.abort(new GantryError('interrupted', `The attachment to the container ${short(id)} was closed.`));
    input.destroy();
    fed.destroy();
  };
  fed.once('close', onAbort(connection.closing, close));
  return { input, output, close };
}

function dial(
  connection: Connection,
  id: string,
  streams: Readonly<Record<string, number>>,
): Promise<Duplex> {
  const call = {
    name: 'attach',
    what: `attach to the container ${short(id)}`,
    timeoutMs: OPEN_MS,
    slow: true,
  };
  const path = `/containers/${encodeURIComponent(id)}/attach`;
  return connection.open(call, async (docker, signal) => {
    try {
      const socket = await hijack(docker, path, { stream: 1, ...streams }, signal);
      // Whoever reads or writes learns of it; nobody may be there yet, or any more.
      return socket.on('error', () => {});
    } catch (error) {
      throw goneOr(id, error);
    }
  });
}

async function bothOrNone(a: Promise<Duplex>, b: Promise<Duplex>): Promise<readonly [Duplex, Duplex]> {
  try {
    return await Promise.all([a, b]);
  } catch (error) {
    for (const each of [a, b]) {
      each.then(
        (socket) => socket.destroy(),
        () => {
          // It never opened, and the error of one is enough.
        },
      );
    }
    throw error;
  }
}

/**
 * Whatever keeps the container from taking more fails it with EPIPE, once. Its end closes the container's input and
 * leaves the connection to the engine, which ends it with the container.
 */
class ContainerInput extends Writable {
  readonly #socket: Duplex;

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    // Who has nothing to write any more need not listen.
    this.on('error', () => {});
    socket.once('close', () => this.break());
    socket.resume();
  }

  break(): void {
    if (!this.writableFinished) this.destroy(brokenPipe());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#socket.write(chunk, (error) => (error ? done(brokenPipe(error)) : done()));
  }

  override _final(done: (error?: Error) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.writableFinished) this.#socket.destroy();
    done(error);
  }
}

function brokenPipe(cause?: unknown): Error {
  return Object.assign(new Error('the container takes no more input', { cause }), { code: 'EPIPE' });
}
