/** A runner's connection to one command: frames that are awaited, streams that are frames, and what ends it. */
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import type { Streams } from '../streams.ts';
import { type FrameKind, FrameReader, frame } from './frames.ts';

/** Of what is written: what a frame holds in memory. */
const PIECE_BYTES = 64 * 1024;

interface Awaited {
  readonly kind: FrameKind;
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
}

export class RunnerLink {
  readonly streams: Streams;
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  readonly #interrupted = new AbortController();
  readonly #gone = new AbortController();
  #awaited: Awaited | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.streams = { stdout: this.#stream('stdout'), stderr: this.#stream('stderr') };
    socket.on('data', (chunk) => this.#read(chunk)).on('error', () => socket.destroy());
    socket.once('close', () => this.#close());
  }

  /** Aborted by the command's first Ctrl-C. */
  get interrupted(): AbortSignal {
    return this.#interrupted.signal;
  }

  /** Aborted when the command is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** What the next frame holds. Rejects when it is another one, when it takes longer, and when the command is gone. */
  async expect(kind: FrameKind, timeoutMs: number): Promise<string> {
    const timer = setTimeout(() => this.#socket.destroy(), timeoutMs);
    try {
      return await new Promise((resolve, reject) => {
        this.#awaited = { kind, resolve, reject };
        if (this.#gone.signal.aborted) this.#close();
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the kernel has it: the command reads it whatever becomes of this process. */
  send(kind: FrameKind, content: Buffer | string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(frame(kind, content), (error) => (error ? reject(error) : resolve()));
    });
  }

  /**
   * Behind what was written to the streams; resolves when the command has room for more. One that is gone is told
   * nothing.
   */
  async note(kind: FrameKind, content: string): Promise<void> {
    if (this.#socket.writable) this.#socket.write(frame(kind, content));
    if (!this.#socket.writableNeedDrain || !this.#socket.writable) return;
    await new Promise<void>((resolve) => this.#onRoom(resolve));
  }

  end(): void {
    this.#socket.end();
  }

  #read(chunk: Buffer): void {
    try {
      for (const { kind, bytes } of this.#frames.read(chunk)) this.#take(kind, bytes);
    } catch {
      this.#socket.destroy();
    }
  }

  #take(kind: FrameKind, bytes: Buffer): void {
    const awaited = this.#awaited;
    this.#awaited = undefined;
    if (awaited?.kind === kind) awaited.resolve(bytes.toString('utf8'));
    else if (kind === 'interrupted') this.#interrupted.abort();
    else this.#socket.destroy();
  }

  #close(): void {
    this.#gone.abort();
    this.#awaited?.reject(new Error('the command is gone'));
    this.#awaited = undefined;
  }

  /** Its writes are frames at once, in the order of all frames: whoever writes much waits for room by a note. */
  #stream(kind: 'stdout' | 'stderr'): Writable {
    return new Writable({
      write: (chunk: Buffer, _, done) => {
        for (let at = 0; at < chunk.length; at += PIECE_BYTES)
          if (this.#socket.writable) this.#socket.write(frame(kind, chunk.subarray(at, at + PIECE_BYTES)));
        done();
      },
    });
  }

  #onRoom(done: () => void): void {
    const goOn = () => {
      this.#socket.off('drain', goOn).off('close', goOn);
      done();
    };
    this.#socket.once('drain', goOn).once('close', goOn);
  }
}
