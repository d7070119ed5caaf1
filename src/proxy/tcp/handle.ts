/**
 * What a socket has inside, none of it public: the handle that reads and writes, and how a call of it turned out. Nothing
 * of it is used before handle-trial.ts has seen that it behaves.
 */
import type { Socket } from 'node:net';

/** As Node's own sockets use it. Calls answer 0, or what went wrong. */
export interface Handle {
  reading: boolean;
  /** Told of each read; what it answers is the memory for the next, if it is to be another. */
  onread: (memory?: ArrayBuffer) => Uint8Array | undefined;
  useUserBuffer(memory: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeLatin1String(request: WriteRequest, text: string): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  /** Each text is followed by 'latin1', each piece of bytes by 'buffer'. */
  writev(request: WriteRequest, chunks: readonly unknown[], areAllBytes: boolean): number;
}

export interface WriteRequest {
  /** Of a write that was not over with the call. */
  oncomplete?: (status: number) => void;
  /** What it has to keep from the garbage collector. */
  held?: unknown;
}

interface Inside {
  readonly WriteWrap: new () => WriteRequest;
  /** Of the last call of any handle. */
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

const CALLS = [
  'onread',
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeLatin1String',
  'writeBuffer',
  'writev',
] as const satisfies (keyof Handle)[];

const inside = look();
const state = inside?.streamBaseState ?? new Int32Array(1);
const readAt = inside?.kReadBytesOrError ?? 0;
const asyncAt = inside?.kLastWriteWasAsync ?? 0;
let trusted = false;

/** undefined: the socket is to be used as anybody uses it, or it is closed. */
export function handleOf(socket: Socket): Handle | undefined {
  return trusted ? ((socket as unknown as { _handle?: Handle | null })._handle ?? undefined) : undefined;
}

/** Whether or not it is trusted; undefined where it lacks something. INVARIANT: called by the trial alone. */
export function untriedHandleOf(socket: Socket): Handle | undefined {
  const handle = (socket as unknown as { _handle?: Handle | null })._handle ?? undefined;
  const isWhole = CALLS.every((name) => typeof handle?.[name] === 'function');
  return inside !== undefined && isWhole ? handle : undefined;
}

/** Bytes, or what went wrong. To be asked in `onread`. */
export function lastRead(): number {
  return state[readAt] as number;
}

/** Not everything is out: the bytes are still needed, and `oncomplete` is called. To be asked right after a write. */
export function lastWriteWaits(): boolean {
  return state[asyncAt] !== 0;
}

/** Means something to handles alone. */
export function writeRequest(): WriteRequest {
  return inside === undefined ? {} : new inside.WriteWrap();
}

/** INVARIANT: called by the trial alone. */
export function trust(isTrusted: boolean): void {
  trusted = isTrusted && inside !== undefined;
}

/** Node documents it as not to be used, and has it. */
function look(): Inside | undefined {
  const { binding } = process as unknown as { binding?: (name: string) => Partial<Inside> };
  try {
    const found = binding?.('stream_wrap');
    return found !== undefined && isInside(found) ? found : undefined;
  } catch {
    // Not given to this process: it goes without.
    return undefined;
  }
}

function isInside(found: Partial<Inside>): found is Inside {
  const { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = found;
  return (
    typeof WriteWrap === 'function' &&
    streamBaseState instanceof Int32Array &&
    typeof kReadBytesOrError === 'number' &&
    typeof kLastWriteWasAsync === 'number'
  );
}
