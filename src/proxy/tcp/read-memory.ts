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

/** `owned`: the bytes may be kept. Answers whether to go on reading; false: until the socket is resumed. */
export type OnBytes = (bytes: Buffer, owned: boolean) => boolean;

/** For `connect`. */
export function readInto(onBytes: OnBytes): OnReadOpts {
  let next = SHARED;
  return {
    buffer: () => next,
    callback: (length, memory) => {
      const bytes = memory as Buffer;
      next = length > MOST_TEXT_BYTES ? Buffer.allocUnsafeSlow(READ_BYTES) : SHARED;
      return onBytes(bytes.subarray(0, length), bytes !== SHARED);
    },
  };
}
