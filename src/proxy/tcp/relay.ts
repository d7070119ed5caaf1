/**
 * Bytes copied both ways between a client and a backend, each as fast as the other side takes them.
 */
import { connect, Socket, type TcpNetConnectOpts } from 'node:net';
import { Inlet } from './inlet.ts';
import { Outlet } from './outlet.ts';
import type { OnBytes } from './read-memory.ts';

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
  #inlets: readonly Inlet[] = [];

  /** The backend: a connection that is there, or how to begin one. Nothing of the client is read before `start`. */
  constructor(client: Socket, backend: Socket | TcpNetConnectOpts, gate?: Gate) {
    this.#client = client;
    this.#gate = gate;
    this.backend = backend instanceof Socket ? backend : connect(backend);
  }

  /** Once connected. Ends are passed on; what becomes of both when one closes is up to who calls. */
  start(): void {
    const client = this.#client;
    const { backend } = this;
    const toClient = new Outlet(client, () => fromBackend.goOn());
    const toBackend = new Outlet(backend, () => fromClient.goOn());
    // Who had nothing to say may have ended while we dialled.
    if (client.readableEnded) backend.end();
    else client.once('end', () => backend.end());
    backend.once('end', () => client.end());
    const fromClient = new Inlet(client, (bytes, length, memory) => toBackend.write(bytes, length, memory));
    const fromBackend = new Inlet(backend, through(toClient, this.#gate));
    this.#inlets = [fromClient, fromBackend];
  }

  /** What comes from now on is read and dropped. */
  stop(): void {
    for (const inlet of this.#inlets) inlet.drop();
  }
}

function through(outlet: Outlet, gate: Gate | undefined): OnBytes {
  if (gate === undefined) return (bytes, length, memory) => outlet.write(bytes, length, memory);
  return (bytes, length, memory) => {
    const part = gate.pass(bytes.subarray(0, length));
    const goesOn = part.length === 0 || outlet.write(part, part.length, memory);
    gate.passed();
    return goesOn;
  };
}
