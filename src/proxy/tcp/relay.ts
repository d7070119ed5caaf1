/**
 * Bytes copied both ways between a client and a backend, each as fast as the other side takes them.
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { MOST_TEXT_BYTES, readInto } from './read-memory.ts';

export class Relay {
  readonly #client: Socket;
  readonly #backend: Socket;
  #stopped = false;

  /** Begins to connect. Nothing of the client is read before `start`. */
  constructor(client: Socket, options: TcpNetConnectOpts) {
    this.#client = client;
    const onread = readInto((bytes, owned) => this.#fromBackend(bytes, owned));
    this.#backend = connect({ ...options, onread });
  }

  get backend(): Socket {
    return this.#backend;
  }

  /** Once connected. Ends are passed on; what becomes of both when one closes is up to who calls. */
  start(): void {
    const [client, backend] = [this.#client, this.#backend];
    client.on('drain', () => backend.resume());
    backend.on('drain', () => client.resume());
    // Who had nothing to say may have ended while we dialled.
    if (client.readableEnded) backend.end();
    else client.once('end', () => backend.end());
    backend.once('end', () => client.end());
    client.on('data', (bytes: Buffer) => {
      if (!this.#stopped && !write(backend, bytes, true)) client.pause();
    });
    client.resume();
  }

  /** What comes from now on is read and dropped. */
  stop(): void {
    this.#stopped = true;
  }

  #fromBackend(bytes: Buffer, owned: boolean): boolean {
    return this.#stopped || !this.#client.writable || write(this.#client, bytes, owned);
  }
}

/** false: it takes no more for now. latin1 is one character for each byte, whatever the bytes mean. */
function write(to: Socket, bytes: Buffer, owned: boolean): boolean {
  const isShort = bytes.length <= MOST_TEXT_BYTES;
  const goesOn = isShort
    ? to.write(bytes.toString('latin1'), 'latin1')
    : to.write(owned ? bytes : Buffer.from(bytes));
  // More than the socket would buffer, and yet nothing of it is left to be sent.
  return goesOn || to.writableLength === 0;
}
