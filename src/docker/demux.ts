/**
 * Splits what Docker multiplexes into one stream: frames of an 8-byte header (source, three zero bytes,
 * length) and a payload. Payloads pass on in the pieces they arrive in, nothing is collected. A TTY has
 * no frames: all is stdout. https://docs.docker.com/reference/api/engine/ "Stream format"
 */
import { Transform, type TransformCallback } from 'node:stream';

export interface Piece {
  readonly source: 'stdout' | 'stderr';
  readonly bytes: Buffer;
}

const HEADER_BYTES = 8;

/** Bytes in, `Piece`s out. Fails on what is not multiplexed and on an end within a frame. */
export class Demux extends Transform {
  readonly #tty: boolean;
  #header = Buffer.alloc(0);
  #source: Piece['source'] = 'stdout';
  #missing = 0;

  constructor(options: { readonly tty: boolean }) {
    super({ readableObjectMode: true });
    this.#tty = options.tty;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#tty) {
      this.push({ source: 'stdout', bytes: chunk } satisfies Piece);
      done();
      return;
    }
    for (let at = 0; at < chunk.length; ) {
      const taken = this.#missing > 0 ? this.#payload(chunk, at) : this.#head(chunk, at);
      if (taken === 0) {
        done(new Error('the stream is not multiplexed'));
        return;
      }
      at += taken;
    }
    done();
  }

  override _flush(done: TransformCallback): void {
    const cut = this.#missing > 0 || this.#header.length > 0;
    const error = new Error('the stream ended within a frame');
    done(cut ? Object.assign(error, { code: 'ERR_STREAM_PREMATURE_CLOSE' }) : null);
  }

  #payload(chunk: Buffer, at: number): number {
    const bytes = chunk.subarray(at, at + this.#missing);
    this.#missing -= bytes.length;
    this.push({ source: this.#source, bytes } satisfies Piece);
    return bytes.length;
  }

  /** Answers 0 for a header that is none. */
  #head(chunk: Buffer, at: number): number {
    const part = chunk.subarray(at, at + HEADER_BYTES - this.#header.length);
    this.#header = Buffer.concat([this.#header, part]);
    if (this.#header.length < HEADER_BYTES) return part.length;
    const kind = this.#header.readUInt8(0);
    if (kind > 3 || this.#header.readUIntBE(1, 3) !== 0) return 0;
    // 0 is stdin echoed back, 3 the engine's own complaint.
    this.#source = kind < 2 ? 'stdout' : 'stderr';
    this.#missing = this.#header.readUInt32BE(4);
    this.#header = Buffer.alloc(0);
    return part.length;
  }
}
