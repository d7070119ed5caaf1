/**
 * What comes in on a connection, read past the stream that Node has around it: into memory of ours, and told of with one
 * call. Where that cannot be done, and what was read before, comes through the stream. Ends and errors always do.
 */
import type { Socket } from 'node:net';
import { type Handle, handleOf, lastRead } from './handle.ts';
import { Memory, MOST_TEXT_BYTES, type OnBytes, SHARED } from './read-memory.ts';

export class Inlet {
  readonly #socket: Socket;
  #onBytes: OnBytes;
  readonly #onData: (bytes: Buffer) => void;
  /** Of who brings much, as long as there is some. INVARIANT: between two reads nobody keeps it. */
  #own: Memory | undefined;
  readonly #handle: Handle | undefined;
  #paused = false;
  #letGo = false;

  /** Reads from now on. */
  constructor(socket: Socket, onBytes: OnBytes) {
    this.#socket = socket;
    this.#onBytes = onBytes;
    this.#onData = (bytes) => {
      if (!this.#onBytes(bytes, bytes.length, undefined)) this.pause();
    };
    this.#handle = handleOf(socket);
    if (this.#handle !== undefined) this.#take(this.#handle);
    socket.on('data', this.#onData);
    socket.resume();
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  /** Idempotent. */
  pause(): void {
    this.#paused = true;
    const handle = this.#handle;
    if (handle?.reading === true) {
      handle.reading = false;
      handle.readStop();
    }
    if (handle === undefined || this.#socket.readableLength > 0) this.#socket.pause();
  }

  /** Idempotent. */
  goOn(): void {
    const socket = this.#socket;
    const handle = this.#handle;
    this.#paused = false;
    if (socket.isPaused()) socket.resume();
    if (handle?.reading !== false || socket.destroyed) return;
    handle.reading = true;
    handle.readStart();
  }

  /** What comes from now on is read and dropped. */
  drop(): void {
    this.#onBytes = () => true;
    this.goOn();
  }

  /** What comes from now on goes through the stream, to whoever listens there. */
  letGo(): void {
    this.#letGo = true;
    this.#socket.removeListener('data', this.#onData);
    this.goOn();
  }

  #take(handle: Handle): void {
    const { onread } = handle;
    handle.useUserBuffer(SHARED);
    this.#socket.once('close', () => this.#close());
    handle.onread = (memory) => {
      const length = lastRead();
      if (length <= 0) return onread.call(handle, memory);
      if (this.#letGo) return onread.call(handle, copied(this.#own?.bytes ?? SHARED, length));
      return this.#read(length);
    };
  }

  /** INVARIANT: what it answers is changed in the same breath as #own, which is all that holds the memory. */
  #read(length: number): Uint8Array | undefined {
    const own = this.#own;
    if (!this.#onBytes(own === undefined ? SHARED : own.bytes, length, own)) this.pause();
    return own === undefined && length <= MOST_TEXT_BYTES ? undefined : this.#next(own, length);
  }

  #close(): void {
    this.#own?.giveBack();
    this.#own = undefined;
  }

  #next(own: Memory | undefined, length: number): Uint8Array | undefined {
    const bringsMuch = length > MOST_TEXT_BYTES;
    if (own !== undefined && bringsMuch && !own.isKept) return undefined;
    if (own?.isKept === false) own.giveBack();
    this.#own = bringsMuch ? Memory.take() : undefined;
    return this.#own === undefined ? SHARED : this.#own.bytes;
  }
}

function copied(bytes: Buffer, length: number): ArrayBuffer {
  return new Uint8Array(bytes.subarray(0, length)).buffer;
}
