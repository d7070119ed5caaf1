/**
 * A pipe and a gate of a relay that can be stopped between two whole things (events, frames) instead of anywhere. As
 * long as nobody asks for it, they only watch the bytes go by.
 */
import type { Readable, Writable } from 'node:stream';
import type { Gate } from '../tcp/relay.ts';

const NOTHING = Buffer.alloc(0);

/** Follows a stream of bytes and knows where one thing ends and the next begins. */
export interface Boundaries {
  /** The bytes so far end with a whole thing; true before the first. */
  readonly atBoundary: boolean;
  /** Goes on from `at` up to the next boundary or the end of the chunk, and answers where that is. */
  advance(chunk: Buffer, at: number): number;
}

export class StoppablePipe {
  readonly #from: Readable;
  readonly #to: Writable;
  readonly #boundaries: Boundaries;
  #stopped: (() => void) | undefined;
  #over = false;

  /** INVARIANT: `from` is piped to `to` already, and not a byte of it has been read. */
  constructor(from: Readable, to: Writable, boundaries: Boundaries) {
    this.#from = from;
    this.#to = to;
    this.#boundaries = boundaries;
    from.on('data', (chunk: Buffer) => this.#data(chunk));
  }

  /**
   * Lets the rest of what is under way through and no more; `stopped` is called when it is, maybe at once. What comes
   * after that is read and dropped. Once.
   */
  stop(stopped: () => void): void {
    if (this.#stopped !== undefined || this.#from.readableEnded) return;
    this.#stopped = stopped;
    this.#from.unpipe(this.#to);
    this.#from.once('end', () => this.#to.end());
    if (this.#boundaries.atBoundary) this.#finish();
    else this.#goOn();
  }

  #data(chunk: Buffer): void {
    if (this.#over) return;
    if (this.#stopped === undefined) {
      for (let at = 0; at < chunk.length; ) at = this.#boundaries.advance(chunk, at);
      return;
    }
    const end = this.#boundaries.advance(chunk, 0);
    if (this.#to.writable) this.#to.write(chunk.subarray(0, end));
    if (this.#boundaries.atBoundary) this.#finish();
    else this.#goOn();
  }

  /** As fast as it is taken. */
  #goOn(): void {
    if (!this.#to.writableNeedDrain) return void this.#from.resume();
    this.#from.pause();
    this.#to.once('drain', () => this.#from.resume());
  }

  #finish(): void {
    this.#over = true;
    this.#from.resume();
    this.#stopped?.();
  }
}

export class StoppableGate implements Gate {
  readonly #boundaries: Boundaries;
  #stopped: (() => void) | undefined;
  #over = false;

  /** Of bytes none of which has been relayed. */
  constructor(boundaries: Boundaries) {
    this.#boundaries = boundaries;
  }

  /** As that of a pipe. */
  stop(stopped: () => void): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = stopped;
    this.passed();
  }

  pass(bytes: Buffer): Buffer {
    if (this.#over) return NOTHING;
    if (this.#stopped !== undefined) return bytes.subarray(0, this.#boundaries.advance(bytes, 0));
    for (let at = 0; at < bytes.length; ) at = this.#boundaries.advance(bytes, at);
    return bytes;
  }

  passed(): void {
    if (this.#stopped === undefined || this.#over || !this.#boundaries.atBoundary) return;
    this.#over = true;
    this.#stopped();
  }
}
