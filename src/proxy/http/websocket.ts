/**
 * Where the frames of a WebSocket end (RFC 6455, section 5.2), so that a client can be asked to leave between
 * two of them. Looks at headers alone; what the frames say is nobody's business here.
 */
import type { Boundaries } from './stoppable.ts';

/** A close frame from a server: final, opcode 8, not masked, two bytes: status 1012, "service restart". */
export const CLOSE_1012 = Buffer.from([0x88, 0x02, 1012 >> 8, 1012 & 0xff]);

const OPCODE = 0x0f;
const CLOSE = 0x08;
const MASKED = 0x80;
const MASK_BYTES = 4;
const TWO_BYTES_FOLLOW = 126;
const EIGHT_BYTES_FOLLOW = 127;

export class WebSocketFrames implements Boundaries {
  #part: 'first' | 'length' | 'extended' | 'rest' = 'first';
  /** Bytes still to come of the extended length, or of the mask and payload. */
  #left = 0;
  #length = 0;
  #masked = false;
  #closing = false;

  get atBoundary(): boolean {
    return this.#part === 'first';
  }

  /** A close frame went by, or is under way: the last there is. */
  get closing(): boolean {
    return this.#closing;
  }

  advance(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length) {
      if (this.#part === 'rest') at += this.#skip(chunk.length - at);
      else this.#header(chunk[at++] ?? 0);
      if (this.atBoundary) return at;
    }
    return at;
  }

  #skip(available: number): number {
    const skipped = Math.min(this.#left, available);
    this.#left -= skipped;
    if (this.#left === 0) this.#part = 'first';
    return skipped;
  }

  #header(byte: number): void {
    if (this.#part === 'first') {
      this.#closing ||= (byte & OPCODE) === CLOSE;
      this.#part = 'length';
    } else if (this.#part === 'length') {
      this.#masked = (byte & MASKED) !== 0;
      this.#lengthIs(byte & ~MASKED);
    } else {
      this.#length = this.#length * 256 + byte;
      this.#left -= 1;
      if (this.#left === 0) this.#payload(this.#length);
    }
  }

  #lengthIs(length: number): void {
    if (length < TWO_BYTES_FOLLOW) return void this.#payload(length);
    this.#part = 'extended';
    this.#length = 0;
    this.#left = length === EIGHT_BYTES_FOLLOW ? 8 : 2;
  }

  #payload(length: number): void {
    this.#left = length + (this.#masked ? MASK_BYTES : 0);
    this.#part = this.#left === 0 ? 'first' : 'rest';
  }
}
