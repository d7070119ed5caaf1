/**
 * Bytes copied both ways between a client and a backend, each as fast as the other side takes them.
 */
import { connect, Socket, type TcpNetConnectOpts } from 'node:net';
import { readInto } from './late-onread.ts';
import { MOST_TEXT_BYTES, type OnBytes, reading } from './read-memory.ts';

/** Stands between what a backend says and its client. */
export interface Gate {
  /** What of it goes through. */
  pass(bytes: Buffer): Buffer;
  /** That has been written. */
  passed(): void;
}

export class Relay {
  readonly backend: Socket;
  readonly #client: Socket;
  readonly #gate: Gate | undefined;
  #stopped = false;
  readonly #fromClient: OnBytes = (memory, length, owned) =>
    this.#stopped || !this.backend.writable || write(this.backend, memory, length, owned);
  readonly #fromBackend: OnBytes = (memory, length, owned) => {
    if (this.#stopped || !this.#client.writable) return true;
    if (this.#gate !== undefined) return this.#throughGate(this.#gate, memory.subarray(0, length), owned);
    return write(this.#client, memory, length, owned);
  };

  /** The backend: a connection that is there, or how to begin one. Nothing of the client is read before `start`. */
  constructor(client: Socket, backend: Socket | TcpNetConnectOpts, gate?: Gate) {
    this.#client = client;
    this.#gate = gate;
    const onread = reading(this.#fromBackend);
    this.backend = backend instanceof Socket ? backend : connect({ ...backend, onread });
    if (this.backend === backend) readInto(backend, onread);
  }

  /** Once connected. Ends are passed on; what becomes of both when one closes is up to who calls. */
  start(): void {
    const client = this.#client;
    const { backend } = this;
    client.on('drain', () => backend.resume());
    backend.on('drain', () => client.resume());
    // Who had nothing to say may have ended while we dialled.
    if (client.readableEnded) backend.end();
    else client.once('end', () => backend.end());
    backend.once('end', () => client.end());
    readInto(client, reading(this.#fromClient));
    flow(client, this.#fromClient);
    flow(backend, this.#fromBackend);
  }

  /** What comes from now on is read and dropped. */
  stop(): void {
    this.#stopped = true;
  }

  #throughGate(gate: Gate, bytes: Buffer, owned: boolean): boolean {
    const part = gate.pass(bytes);
    const goesOn = part.length === 0 || write(this.#client, part, part.length, owned);
    gate.passed();
    return goesOn;
  }
}

/** What was read before, and everything where there is no other way to read. */
function flow(from: Socket, onBytes: OnBytes): void {
  from.on('data', (bytes: Buffer) => {
    if (!onBytes(bytes, bytes.length, true)) from.pause();
  });
  from.resume();
}

/** false: it takes no more for now. latin1 is one character for each byte, whatever the bytes mean. */
function write(to: Socket, memory: Buffer, length: number, owned: boolean): boolean {
  const isShort = length <= MOST_TEXT_BYTES;
  const goesOn = isShort
    ? to.write(memory.toString('latin1', 0, length), 'latin1')
    : to.write(owned ? memory.subarray(0, length) : Buffer.from(memory.subarray(0, length)));
  // More than the socket would buffer, and yet nothing of it is left to be sent.
  return goesOn || to.writableLength === 0;
}
