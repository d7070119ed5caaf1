/**
 * Two connections joined to one: each ends, resets and dies with the other, half-closed states
 * included, and a reset arrives as a reset. Who joins them pipes the bytes.
 */
import type { Socket } from 'node:net';

/** `closed` is called once, when both are gone. */
export function shareFate(a: Socket, b: Socket, closed: () => void): void {
  let open = 2;
  const follow = (one: Socket, other: Socket) => {
    one.on('error', seenOnClose);
    one.once('close', (hadError) => {
      if (hadError) other.resetAndDestroy();
      // Sends what is still buffered first.
      else if (!other.destroyed) other.destroySoon();
      open -= 1;
      if (open === 0) closed();
    });
  };
  follow(a, b);
  follow(b, a);
}

function seenOnClose(): void {}
