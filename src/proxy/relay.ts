/**
 * Bytes copied both ways between a client and a backend, each as fast as the other side takes them. What the backend
 * says is read into one piece of memory for all connections, which costs half of what a fresh one for every read does.
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';

/** What one read brings at most. INVARIANT: nobody keeps what is in it. */
const READ_BUFFER = Buffer.allocUnsafe(64 * 1024);
/** Up to here a text is written faster than bytes: nothing of it has to outlive the call. */
const MOST_TEXT_BYTES = 16 * 1024;

export class Relay {
  readonly #client: Socket;
  readonly #backend: Socket;
  #stopped = false;

  /** Begins to connect. Nothing of the client is read before `start`. */
  constructor(client: Socket, options: TcpNetConnectOpts) {
    this.#client = client;
    const callback = (length: number) => this.#fromBackend(length);
    this.#backend = connect({ ...options, onread: { buffer: READ_BUFFER, callback } });
  }

  get backend(): Socket {
    return this.#backend;
  }

  /** Once connected. Ends are passed on; what becomes of both when one closes is up to who calls. */
  start(): void {
    const [client, backend] = [this.#client, this.#backend];
    client.on('drain', () => backend.resume());
    backend.on('drain', () => client.resume());
    client.once('end', () => backend.end());
    backend.once('end', () => client.end());
    client.on('data', (bytes: Buffer) => {
      if (this.#stopped) return;
      const goesOn =
        bytes.length > MOST_TEXT_BYTES ? backend.write(bytes) : writeText(backend, bytes, bytes.length);
      if (!goesOn) client.pause();
    });
    client.resume();
  }

  /** What comes from now on is read and dropped. */
  stop(): void {
    this.#stopped = true;
  }

  #fromBackend(length: number): boolean {
    const client = this.#client;
    if (this.#stopped || !client.writable) return true;
    if (length <= MOST_TEXT_BYTES) return writeText(client, READ_BUFFER, length);
    return client.write(Buffer.from(READ_BUFFER.subarray(0, length)));
  }
}

/** latin1 is one character for each byte, whatever the bytes mean. */
function writeText(to: Socket, bytes: Buffer, length: number): boolean {
  return to.write(bytes.toString('latin1', 0, length), 'latin1');
}
