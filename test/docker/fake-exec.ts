/** A command in a container of the fake engine: prints, echoes what it reads, or waits for a signal. */
import { constants } from 'node:os';
import { PassThrough, type Readable, Writable } from 'node:stream';
import type { Piece } from '../../src/docker/demux.ts';
import type {
  ExecAsked,
  ExecEnd,
  ExecSession,
  ExecSignal,
  TerminalSize,
} from '../../src/docker/exec-session.ts';

/** What a command does in it. */
export interface FakeCommand {
  readonly out?: string;
  readonly err?: string;
  readonly exitCode?: number;
  /** Prints what it reads, and ends with that. */
  readonly echoes?: boolean;
  /** Until a signal ends it. */
  readonly waits?: boolean;
  /** The engine's words: it cannot be run. */
  readonly missing?: string;
}

export class FakeExec implements ExecSession {
  readonly asked: ExecAsked;
  readonly input: Writable;
  readonly output: Readable;
  readonly signals: ExecSignal[] = [];
  readonly sizes: TerminalSize[] = [];
  isClosed = false;
  #end: ExecEnd | undefined;
  #onEnd: (end: ExecEnd) => void = () => {};
  readonly #ended: Promise<ExecEnd>;

  constructor(asked: ExecAsked, does: FakeCommand) {
    this.asked = asked;
    if (asked.terminal !== undefined) this.sizes.push(asked.terminal);
    const output = new PassThrough({ objectMode: true, highWaterMark: 4 });
    this.output = output;
    this.#ended = new Promise((resolve) => {
      this.#onEnd = resolve;
    });
    this.input = does.echoes ? this.#echoing(output) : new Writable({ write: (_, __, done) => done() });
    this.input.on('error', () => {});
    if (does.missing !== undefined) this.end({ exitCode: 127, neverRan: does.missing });
    else this.#begin(output, does);
  }

  #begin(output: PassThrough, does: FakeCommand): void {
    if (does.out !== undefined) output.write(this.#piece('stdout', does.out));
    if (does.err !== undefined) output.write(this.#piece('stderr', does.err));
    if (!does.waits && !(does.echoes && this.asked.input)) this.end({ exitCode: does.exitCode ?? 0 });
  }

  print(piece: Piece): void {
    (this.output as PassThrough).write(piece);
  }

  /** Pieces. */
  get unread(): number {
    return this.output.readableLength + (this.output as PassThrough).writableLength;
  }

  #piece(source: Piece['source'], text: string): Piece {
    return { source: this.asked.terminal === undefined ? source : 'stdout', bytes: Buffer.from(text) };
  }

  #echoing(output: PassThrough): Writable {
    return new Writable({
      write: (bytes: Buffer, _, done) => {
        if (output.write({ source: 'stdout', bytes } satisfies Piece)) done();
        else output.once('drain', () => done());
      },
      final: (done) => {
        this.end({ exitCode: 0 });
        done();
      },
    });
  }

  end(end: ExecEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    (this.output as PassThrough).end();
    if (!this.input.writableEnded)
      this.input.destroy(Object.assign(new Error('the command takes no more input'), { code: 'EPIPE' }));
    this.#onEnd(end);
  }

  async resize(size: TerminalSize): Promise<void> {
    if (this.#end === undefined) this.sizes.push(size);
  }

  async signal(name: ExecSignal): Promise<boolean> {
    if (this.#end !== undefined) return false;
    this.signals.push(name);
    this.end({ exitCode: 128 + constants.signals[name] });
    return true;
  }

  async ended(signal: AbortSignal): Promise<ExecEnd> {
    signal.throwIfAborted();
    return this.#ended;
  }

  close(): void {
    this.isClosed = true;
    this.output.destroy();
  }
}
