/**
 * What `job run` and the runner of its box say to each other over the runner's socket: frames of a kind, one byte, a
 * length, four bytes with the highest first, and so many bytes. Pure, and loaded by a command that must be quick.
 *
 *     command:  asked        declined, and nothing was done
 *               asked        run        agreed        stdout, stderr, position …        ended
 *                                                     interrupted
 */
export type FrameKind = keyof typeof KINDS;

const KINDS = {
  /** The command's words and surroundings, a Request in JSON. */
  asked: 1,
  /** Why the command does it itself. */
  declined: 2,
  /** A Taken in JSON: what will be run once the command agrees; before that nothing is done. */
  run: 3,
  agreed: 4,
  /** Ctrl-C, the first. */
  interrupted: 5,
  stdout: 6,
  stderr: 7,
  /** Up to here of the run's log all was told. */
  position: 8,
  /** The exit code, in words; all was told. */
  ended: 9,
} as const;

export interface Request {
  /** Of gantryd, and where it is: another one may mean something else by the words. */
  readonly version: string;
  readonly root: string;
  /** Behind `job run`. */
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Taken {
  readonly run: string;
  /** The command that goes on with it when the runner breaks off; `--from` and the last position are to be added. */
  readonly attach: readonly string[];
}

export interface Frame {
  readonly kind: FrameKind;
  readonly bytes: Buffer;
}

const HEAD_BYTES = 5;
/** Of one frame: who sends more is none of ours. The variables of a process can be 2 MiB by themselves (execve(2)). */
export const MAX_FRAME_BYTES = 8 * 1024 * 1024;

const NAMES = new Map(Object.entries(KINDS).map(([name, code]) => [code as number, name as FrameKind]));

export function frame(kind: FrameKind, content: Buffer | string = ''): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  head.writeUInt8(KINDS[kind], 0);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Makes frames of what comes, however it was cut. */
export class FrameReader {
  #held: Buffer = Buffer.alloc(0);

  /** Those that are whole by now. Throws when it is no frame. */
  read(chunk: Buffer): readonly Frame[] {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const frames: Frame[] = [];
    while (rest.length >= HEAD_BYTES) {
      const kind = NAMES.get(rest.readUInt8(0));
      const end = HEAD_BYTES + rest.readUInt32BE(1);
      if (kind === undefined || end > MAX_FRAME_BYTES) throw new Error('not a frame');
      if (rest.length < end) break;
      frames.push({ kind, bytes: rest.subarray(HEAD_BYTES, end) });
      rest = rest.subarray(end);
    }
    this.#held = rest;
    return frames;
  }
}
