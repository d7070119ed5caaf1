/**
 * What both ends of an exec say to each other once the connection is theirs: frames of a kind, one byte, a length, four
 * bytes with the highest first, and so many bytes. Pure; docs/api.md describes the same.
 *
 *     who asks:   asked          input, inputEnd, size, signal …
 *     the agent:          began  stdout, stderr, taken …          ended
 *                         failed                                  failed
 *
 * Each end says `alive` when it has nothing else to say. Of the input no more is under way than INPUT_WINDOW_BYTES, so
 * that a signal never waits behind what a command does not read.
 */
import type { ExecAsked, ExecEnd, ExecSignal, TerminalSize } from '../../docker/exec-session.ts';
import { GantryError } from '../../errors.ts';
import { problemOf } from '../problem.ts';
import { errorIn } from '../wire.ts';

export const EXEC_PROTOCOL = 'gantryd-exec';
/** Of one frame; who sends more is none of ours. */
export const MAX_FRAME_BYTES = 1024 * 1024;
/** Of what is read or printed, in one frame. */
export const PIECE_BYTES = 64 * 1024;
/** Of the input, sent and not taken yet. */
export const INPUT_WINDOW_BYTES = 256 * 1024;

const KINDS = {
  /** ExecAsked in JSON, once and first. */
  asked: 1,
  input: 2,
  inputEnd: 3,
  /** TerminalSize in JSON. */
  size: 4,
  /** Its name, as SIGINT. */
  signal: 5,
  alive: 6,
  /** Began in JSON. */
  began: 7,
  stdout: 8,
  stderr: 9,
  /** How many bytes of the input the command took, in words. */
  taken: 10,
  /** ExecEnd in JSON: all was told. */
  ended: 11,
  /** A problem as HTTP answers have it, in JSON: nothing follows. */
  failed: 12,
  /** The agent cannot signal the command. */
  unsignalled: 13,
} as const;

export type ExecFrameKind = keyof typeof KINDS;

export interface ExecFrame {
  readonly kind: ExecFrameKind;
  readonly bytes: Buffer;
}

export interface Began {
  readonly host: string;
  /** The whole id. */
  readonly container: string;
}

const SIGNALS: readonly ExecSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'];
const HEAD_BYTES = 5;
const NAMES = new Map(Object.entries(KINDS).map(([name, code]) => [code as number, name as ExecFrameKind]));
const MOST_WORDS = 1_000;
const MOST_ROWS = 10_000;

export function execFrame(kind: ExecFrameKind, content: Buffer | string = ''): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  head.writeUInt8(KINDS[kind], 0);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Makes frames of what comes, however it was cut. */
export class ExecFrames {
  #held: Buffer = Buffer.alloc(0);

  /** Those that are whole by now. Throws usage when it is no frame. */
  read(chunk: Buffer): readonly ExecFrame[] {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const frames: ExecFrame[] = [];
    while (rest.length >= HEAD_BYTES) {
      const kind = NAMES.get(rest.readUInt8(0));
      const length = rest.readUInt32BE(1);
      if (kind === undefined || length > MAX_FRAME_BYTES)
        throw new GantryError('usage', `what was sent is no frame of ${EXEC_PROTOCOL}`);
      if (rest.length < HEAD_BYTES + length) break;
      frames.push({ kind, bytes: rest.subarray(HEAD_BYTES, HEAD_BYTES + length) });
      rest = rest.subarray(HEAD_BYTES + length);
    }
    this.#held = rest;
    return frames;
  }
}

/** In pieces that fit into frames. */
export function* inPieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}

/** Throws usage for what is none. */
export function askedOf({ kind, bytes }: ExecFrame): ExecAsked {
  const { command, env, user, workdir, input, terminal } = jsonOf(bytes);
  const isGood =
    kind === 'asked' &&
    isWords(command) &&
    command.length > 0 &&
    (env === undefined || (isWords(env) && env.every((each) => /^[^=\0]+=/.test(each)))) &&
    isWord(user) &&
    isWord(workdir) &&
    (terminal === undefined || isSize(terminal));
  if (!isGood) throw new GantryError('usage', 'that is no command to be run in a container');
  return {
    ...{ command, input: input === true },
    ...(env === undefined ? {} : { env: env as readonly string[] }),
    ...(user === undefined ? {} : { user: user as string }),
    ...(workdir === undefined ? {} : { workdir: workdir as string }),
    ...(terminal === undefined ? {} : { terminal: terminal as TerminalSize }),
  };
}

/** undefined: it is none. */
export function sizeOf(bytes: Buffer): TerminalSize | undefined {
  const size = jsonOf(bytes);
  return isSize(size) ? { columns: size.columns, rows: size.rows } : undefined;
}

export function signalOf(bytes: Buffer): ExecSignal | undefined {
  return SIGNALS.find((name) => name === bytes.toString());
}

export function takenOf(bytes: Buffer): number {
  return Number(bytes.toString()) || 0;
}

/** Throws output-gone for what no agent says. */
export function beganOf(bytes: Buffer): Began {
  const { host, container } = jsonOf(bytes);
  if (typeof host === 'string' && typeof container === 'string') return { host, container };
  throw strange();
}

export function endOf(bytes: Buffer): ExecEnd {
  const { exitCode, neverRan, containerEnded } = jsonOf(bytes);
  if (typeof exitCode !== 'number') throw strange();
  return {
    exitCode,
    ...(typeof neverRan === 'string' ? { neverRan } : {}),
    ...(containerEnded === true ? { containerEnded } : {}),
  };
}

export function failedFrame(error: unknown): Buffer {
  return execFrame('failed', JSON.stringify(problemOf(error).body));
}

export function failureOf(bytes: Buffer): GantryError {
  return errorIn(bytes.toString()) ?? strange();
}

function strange(): GantryError {
  return new GantryError('output-gone', 'the agent sent what no agent says');
}

function jsonOf(bytes: Buffer): Partial<Record<string, unknown>> {
  try {
    return Object(JSON.parse(bytes.toString()));
  } catch {
    return {};
  }
}

function isWords(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) && value.length <= MOST_WORDS && value.every((each) => typeof each === 'string')
  );
}

function isWord(value: unknown): boolean {
  return value === undefined || (typeof value === 'string' && value !== '');
}

function isSize(value: unknown): value is TerminalSize {
  const { columns, rows } = Object(value);
  return [columns, rows].every((n) => Number.isInteger(n) && n > 0 && n <= MOST_ROWS);
}
