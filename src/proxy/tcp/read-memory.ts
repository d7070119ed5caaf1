/**
 * Where a connection's reads go: into one piece of memory for all of them as long as they bring little, which is then
 * used up before the next read; into a fresh piece for each read of a connection that brings much, which is handed on
 * without being copied.
 */
import type { OnReadOpts } from 'node:net';

/** What one read brings at most. */
const READ_BYTES = 64 * 1024;
/** Up to here a text is written faster than bytes: nothing of it has to outlive the call. */
export const MOST_TEXT_BYTES = 16 * 1024;
/** INVARIANT: nobody keeps what is in it. */
const SHARED = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * The first `length` bytes of the memory; `owned`: they may be kept. Answers whether to go on reading; false: until the
 * socket is resumed.
 */
export type OnBytes = (memory: Buffer, length: number, owned: boolean) => boolean;

/** For `connect` and for `readInto`. */
export interface Reading extends OnReadOpts {
  buffer(): Uint8Array;
}

export function reading(onBytes: OnBytes): Reading {
  let next = SHARED;
  return {
    buffer: () => next,
    callback: (length, memory) => {
      next = length > MOST_TEXT_BYTES ? Buffer.allocUnsafeSlow(READ_BYTES) : SHARED;
      return onBytes(memory as Buffer, length, memory !== SHARED);
    },
  };
}
