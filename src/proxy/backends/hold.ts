/** One client's work on one backend: what a drain waits for, and the handle by which it is ended or asked to end. */
import type { Socket } from 'node:net';
import type { Peer } from '../control/protocol.ts';
import type { CountedAnswer } from './answers.ts';
import type { LiveBackend } from './backend.ts';

/** udp is carried by the kernel alone. */
export type HoldKind = Exclude<Peer['kind'], 'udp'>;

/** Who moves the bytes of a hold, as far as it can be told to stop. */
export interface Carrier {
  /** Ends it now, as cleanly as can be. */
  end(): void;
  /** Asks the client to leave. Absent: there is no way to ask it. */
  ask?(): void;
}

/** One request, upgraded connection or tcp connection on a backend. */
export class Hold {
  readonly since = performance.now();
  readonly backend: LiveBackend;
  /** Of a request that is counted. */
  readonly answer: CountedAnswer | undefined;
  readonly #client: Socket;
  readonly #bytesBefore: number;
  #kind: HoldKind;
  #carrier: Carrier | undefined;
  #bytesSeen = 0;
  #movedAt = this.since;
  #asked = false;
  #ended = false;
  #released = false;

  constructor(kind: HoldKind, client: Socket, backend: LiveBackend, answer?: CountedAnswer) {
    this.answer = answer;
    this.#kind = kind;
    this.#client = client;
    this.backend = backend;
    this.#bytesBefore = transferred(client);
  }

  get kind(): HoldKind {
    return this.#kind;
  }

  become(kind: HoldKind): void {
    if (this.#released) return;
    this.backend.recount(this.#kind, kind);
    this.#kind = kind;
  }

  /** From now on; before there was a backend's connection, and then nobody needs to be told but the client. */
  carriedBy(carrier: Carrier): void {
    this.#carrier = carrier;
    if (this.canBeAsked && !this.#released) this.backend.canBeAsked(this);
  }

  get canBeAsked(): boolean {
    return this.#carrier?.ask !== undefined && !this.#asked && !this.#ended;
  }

  /** Once; nothing happens when the client cannot be asked. */
  ask(): void {
    if (!this.canBeAsked) return;
    this.#asked = true;
    this.#carrier?.ask?.();
  }

  /** Ends it; false: that was done before. It is released when the connections are closed. */
  end(): boolean {
    if (this.#ended || this.#released) return false;
    this.#ended = true;
    if (this.#carrier === undefined) this.#client.destroy();
    else this.#carrier.end();
    return true;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.backend.drop(this);
  }

  sample(now: number): void {
    const bytes = transferred(this.#client) - this.#bytesBefore;
    if (bytes === this.#bytesSeen) return;
    this.#bytesSeen = bytes;
    this.#movedAt = now;
  }

  /** When a byte was last seen to have moved, by performance.now(). */
  get movedAt(): number {
    return this.#movedAt;
  }

  /** Address and port of the client. */
  get client(): string {
    const { remoteAddress = 'gone', remotePort = 0 } = this.#client;
    return `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`;
  }

  peer(now: number): Peer {
    this.sample(now);
    return {
      client: this.client,
      kind: this.#kind,
      ageMs: Math.round(now - this.since),
      bytes: this.#bytesSeen,
      idleMs: Math.round(now - this.#movedAt),
    };
  }
}

function transferred(socket: Socket): number {
  // A destroyed socket has no byte count any more although its type says otherwise.
  return ((socket.bytesRead as number | undefined) ?? 0) + ((socket.bytesWritten as number | undefined) ?? 0);
}
