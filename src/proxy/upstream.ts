/**
 * A connection to a backend on which answers are parsed as they come, for one request after another. Whoever uses it
 * gets what was read at once and takes what it needs of it: the next read goes into the same memory.
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Dropping, Restful } from './idle-pool.ts';
import { MessageParser } from './llhttp.ts';

/** What one read brings at most; one for all connections, since nobody keeps what is in it. */
const READ_BUFFER = Buffer.allocUnsafe(64 * 1024);

export interface UpstreamUser {
  /** Answers whether to go on reading; false: until the socket is resumed. INVARIANT: keeps nothing of the bytes. */
  received(bytes: Buffer): boolean;
  /** The connection takes more. */
  drained(): void;
  /** The connection is closed. `ended`: by the backend, and in order. */
  lost(ended: boolean, error: Error | undefined): void;
}

export class Upstream implements Restful {
  readonly socket: Socket;
  readonly parser = new MessageParser('response');
  restsUntil = 0;
  user: UpstreamUser | undefined;
  #pool: Dropping<Upstream> | undefined;
  #error: Error | undefined;

  /** Begins to connect. */
  constructor(options: TcpNetConnectOpts) {
    const callback = (length: number) => this.#read(length);
    this.socket = connect({ ...options, onread: { buffer: READ_BUFFER, callback } });
    this.socket.on('error', (error) => {
      this.#error = error;
    });
    this.socket.on('end', () => this.#pool?.drop(this));
    this.socket.on('drain', () => this.user?.drained());
    this.socket.once('close', () => this.#closed());
  }

  rest(pool: Dropping<Upstream>): void {
    this.user = undefined;
    this.#pool = pool;
  }

  wake(): void {
    this.#pool = undefined;
  }

  #read(length: number): boolean {
    if (this.user !== undefined) return this.user.received(READ_BUFFER.subarray(0, length));
    if (this.#pool === undefined) this.socket.destroy();
    else this.#pool.drop(this);
    return true;
  }

  #closed(): void {
    this.#pool?.drop(this);
    this.user?.lost(this.socket.readableEnded && this.#error === undefined, this.#error);
    this.user = undefined;
    this.parser.free();
  }
}
