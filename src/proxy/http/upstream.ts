/**
 * A connection to a backend on which answers are parsed as they come, for one request after another. Whoever uses it
 * gets what was read at once, and what it does not keep goes with the next read.
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { MessageParser } from '../../llhttp.ts';
import { Inlet } from '../tcp/inlet.ts';
import { Outlet } from '../tcp/outlet.ts';
import type { Memory } from '../tcp/read-memory.ts';
import { isReset, readOn } from './broken-off.ts';
import type { Dropping, Restful } from './idle-pool.ts';

export interface UpstreamUser {
  /** `memory`: what the bytes are in, to be kept. Answers whether to go on reading; false: until it is told to. */
  received(bytes: Buffer, memory: Memory | undefined): boolean;
  /** The connection takes more. */
  drained(): void;
  /** The connection is closed. `ended`: by the backend, and in order. */
  lost(ended: boolean, error: Error | undefined): void;
}

export class Upstream implements Restful {
  readonly socket: Socket;
  readonly outlet: Outlet;
  readonly parser = new MessageParser('response');
  restsUntil = 0;
  user: UpstreamUser | undefined;
  #pool: Dropping<Upstream> | undefined;
  #inlet: Inlet | undefined;
  #error: Error | undefined;

  /** Begins to connect. */
  constructor(options: TcpNetConnectOpts) {
    this.socket = connect(options);
    this.outlet = new Outlet(this.socket, () => this.user?.drained());
    this.socket.once('connect', () => this.#open());
    this.socket.on('error', (error) => {
      this.#error = error;
    });
    this.socket.prependListener('end', () => this.#ended());
    this.socket.once('close', () => this.#closed());
  }

  rest(pool: Dropping<Upstream>): void {
    this.user = undefined;
    this.#pool = pool;
  }

  wake(): void {
    this.#pool = undefined;
  }

  get isClear(): boolean {
    return this.outlet.isClear;
  }

  /** What the backend takes no more is dropped, and what it says is read. */
  readOn(): void {
    this.outlet.dropsUnsent = true;
    readOn(this.socket);
  }

  /** After an answer of `received`. */
  goOn(): void {
    this.#inlet?.goOn();
  }

  #open(): void {
    this.#inlet = new Inlet(this.socket, (bytes, length, memory) =>
      this.#read(bytes.subarray(0, length), memory),
    );
  }

  #read(bytes: Buffer, memory: Memory | undefined): boolean {
    if (this.user !== undefined) return this.user.received(bytes, memory);
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
