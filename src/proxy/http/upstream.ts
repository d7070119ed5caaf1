/**
 * A connection to a backend on which answers are parsed as they come, for one request after another. Whoever uses it
 * gets what was read at once, and what it does not own goes with the next read.
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { MessageParser } from '../../llhttp.ts';
import { reading } from '../tcp/read-memory.ts';
import { isReset } from './broken-off.ts';
import type { Dropping, Restful } from './idle-pool.ts';

export interface UpstreamUser {
  /** `owned`: the bytes may be kept. Answers whether to go on reading; false: until the socket is resumed. */
  received(bytes: Buffer, owned: boolean): boolean;
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
    const onread = reading((memory, length, owned) => this.#read(memory.subarray(0, length), owned));
    this.socket = connect({ ...options, onread });
    this.socket.on('error', (error) => {
      this.#error = error;
    });
    this.socket.prependListener('end', () => this.#ended());
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

  #read(bytes: Buffer, owned: boolean): boolean {
    if (this.user !== undefined) return this.user.received(bytes, owned);
    if (this.#pool === undefined) this.socket.destroy();
    else this.#pool.drop(this);
    return true;
  }

  #ended(): void {
    // Where the end says that the answer is whole.
    const isWithin = this.user !== undefined && this.parser.head !== undefined && !this.parser.done;
    if (isWithin && isReset(this.socket)) this.#error ??= new Error('the server broke the connection off');
    this.#pool?.drop(this);
  }

  #closed(): void {
    this.#pool?.drop(this);
    this.user?.lost(this.socket.readableEnded && this.#error === undefined, this.#error);
    this.user = undefined;
    this.parser.free();
  }
}
