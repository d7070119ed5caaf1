/** This end of a command that runs in a container elsewhere: its streams are those of this process. */
import type { Readable } from 'node:stream';
import type { ExecChannel } from '../../api/exec/exec-channel.ts';
import {
  type Began,
  beganOf,
  type ExecFrame,
  endOf,
  failureOf,
  INPUT_WINDOW_BYTES,
  inPieces,
  takenOf,
} from '../../api/exec/exec-wire.ts';
import type { ExecAsked, ExecEnd, ExecSignal, TerminalSize } from '../../docker/exec-session.ts';
import { GantryError, messageOf } from '../../errors.ts';
import { Poke } from '../../poke.ts';
import { written } from '../jobs/sink.ts';
import type { Streams } from '../streams.ts';

/** Of a command whose output nobody reads any more, as shells have it: 128 and SIGPIPE. */
const PIPE_CODE = 141;
const LOOK_MS = 10_000;

export interface Attached {
  readonly channel: ExecChannel;
  readonly streams: Streams;
  /** Absent: nothing is read. */
  readonly stdin?: Readable;
  readonly onBegan: (began: Began) => void;
  /** Its agent cannot signal the command. */
  readonly onUnsignalled: () => void;
}

export class AttachedExec {
  readonly #of: Attached;
  readonly #room = new Poke();
  #underWay = 0;
  #failure: GantryError | undefined;

  constructor(of: Attached) {
    this.#of = of;
  }

  /** Throws what the agent says went wrong; output-gone when the connection breaks off. */
  async run(asked: ExecAsked): Promise<ExecEnd> {
    const { channel } = this.#of;
    try {
      await channel.send('asked', JSON.stringify(asked));
      for await (const frame of channel.frames()) {
        const end = await this.#heed(frame);
        if (end !== undefined) return end;
      }
    } finally {
      channel.close();
    }
    throw this.#failure ?? cut();
  }

  signal(name: ExecSignal): void {
    void this.#of.channel.send('signal', name);
  }

  resize(size: TerminalSize): void {
    void this.#of.channel.send('size', JSON.stringify(size));
  }

  async #heed({ kind, bytes }: ExecFrame): Promise<ExecEnd | undefined> {
    switch (kind) {
      case 'began':
        this.#of.onBegan(beganOf(bytes));
        void this.#feed();
        return undefined;
      case 'stdout':
      case 'stderr':
        return this.#show(kind, bytes);
      case 'taken':
        this.#underWay -= takenOf(bytes);
        this.#room.poke();
        return undefined;
      case 'unsignalled':
        this.#of.onUnsignalled();
        return undefined;
      case 'ended':
        return endOf(bytes);
      case 'failed':
        throw failureOf(bytes);
      default:
        return undefined;
    }
  }

  async #show(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<ExecEnd | undefined> {
    const isRead = await written(this.#of.streams[stream], bytes);
    // A reader of stderr that went away misses it; without one of stdout there is nothing more to do.
    return isRead || stream === 'stderr' ? undefined : { exitCode: PIPE_CODE };
  }

  /** Never rejects: what cannot be read ends the command. */
  async #feed(): Promise<void> {
    const { stdin, channel } = this.#of;
    if (stdin === undefined) return;
    try {
      for await (const chunk of stdin as AsyncIterable<Buffer>)
        for (const piece of inPieces(chunk)) await this.#give(piece);
      await channel.send('inputEnd');
    } catch (cause) {
      if (channel.gone.aborted) return;
      this.#failure = new GantryError('usage', `stdin cannot be read: ${messageOf(cause)}`, { cause });
      channel.close();
    }
  }

  async #give(piece: Buffer): Promise<void> {
    const { channel } = this.#of;
    while (this.#underWay + piece.length > INPUT_WINDOW_BYTES && !channel.gone.aborted) {
      this.#room.clear();
      await this.#room.wait(LOOK_MS, channel.gone);
    }
    channel.gone.throwIfAborted();
    this.#underWay += piece.length;
    await channel.send('input', piece);
  }
}

function cut(): GantryError {
  return new GantryError('output-gone', 'the connection to the command broke off', {
    hint: 'Its agent ends it, unless the agent itself was killed: look with gantryd logs, or exec -- ps.',
  });
}
