/**
 * One end of an exec's connection: frames in both directions, with back-pressure, signs of life, and an end that always
 * comes: the other end is gone when nothing was heard of it for SILENCE_MS.
 */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { isGantryError } from '../../errors.ts';
import { type ExecFrame, type ExecFrameKind, ExecFrames, execFrame } from './exec-wire.ts';

const BEAT_MS = 10_000;
const SILENCE_MS = 3 * BEAT_MS;
/** Until the other end has closed, too, after all was said. */
const CLOSE_MS = 5_000;

export class ExecChannel {
  readonly #socket: Duplex;
  readonly #gone = new AbortController();
  readonly #beat: NodeJS.Timeout;
  #heardAt = performance.now();
  /** What was read is waited for by who reads: silence is no wonder. */
  #isPaused = false;
  #isLast = false;
  #room: Promise<void> | undefined;
  #onRoom: () => void = () => {};

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearInterval(this.#beat);
      this.#gone.abort();
    });
    this.#beat = setInterval(() => this.#live(), BEAT_MS);
    if (socket.destroyed) this.close();
  }

  /** Aborted when the connection has ended, whoever ended it. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when there is room for more, or nobody there any more. */
  async send(kind: ExecFrameKind, content: Buffer | string = ''): Promise<void> {
    await this.sendFrame(execFrame(kind, content));
  }

  async sendFrame(bytes: Buffer): Promise<void> {
    const socket = this.#socket;
    if (this.#isLast || !socket.writable || socket.write(bytes)) return;
    this.#room ??= this.#drained();
    await this.#room;
  }

  /** Nothing follows, and nobody waits for room any more: the other end may not read. */
  sendLast(bytes: Buffer): void {
    void this.sendFrame(bytes);
    this.#isLast = true;
    this.#onRoom();
  }

  /** One listener for all who wait. */
  #drained(): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve) => {
      this.#onRoom = () => {
        this.#room = undefined;
        socket.off('drain', this.#onRoom).off('close', this.#onRoom);
        resolve();
      };
      socket.once('drain', this.#onRoom).once('close', this.#onRoom);
    });
  }

  /** What comes, until the connection ends. Throws usage for what is no frame. One reader. */
  async *frames(): AsyncGenerator<ExecFrame, void, undefined> {
    const reader = new ExecFrames();
    try {
      // What is no frame is answered yet.
      for await (const chunk of this.#socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        this.#heardAt = performance.now();
        this.#isPaused = true;
        for (const frame of reader.read(chunk)) if (frame.kind !== 'alive') yield frame;
        this.#isPaused = false;
        this.#heardAt = performance.now();
      }
    } catch (error) {
      if (isGantryError(error)) throw error; // else the connection has ended, however
    }
  }

  /** All was said: the other end closes when it has read it. */
  async end(): Promise<void> {
    if (this.gone.aborted) return;
    const timer = setTimeout(() => this.close(), CLOSE_MS);
    this.#socket.end();
    this.#socket.resume();
    if (!this.gone.aborted) await once(this.gone, 'abort');
    clearTimeout(timer);
  }

  close(): void {
    clearInterval(this.#beat);
    this.#socket.destroy();
    this.#gone.abort();
  }

  #live(): void {
    if (!this.#isPaused && performance.now() - this.#heardAt > SILENCE_MS) this.close();
    else if (!this.#socket.writableNeedDrain) void this.send('alive');
  }
}
