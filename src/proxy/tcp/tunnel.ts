/**
 * Two connections joined to one: each ends, resets and dies with the other, half-closed states
 * included, and a reset arrives as a reset. Who joins them copies the bytes.
 */
import type { Socket } from 'node:net';

/** How long the peers of a connection that is ended from here may take to end it too. */
const END_GRACE_MS = 1_000;

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

/** Ends both from here: what is buffered still goes out, and both peers see an end, not a reset. Nothing is copied any more. */
export function endBoth(a: Socket, b: Socket): void {
  for (const socket of [a, b]) {
    if (socket.destroyed) continue;
    // Left unread, what still comes would make a reset of the end.
    socket.resume();
    socket.end();
    const timer = setTimeout(() => socket.destroy(), END_GRACE_MS);
    socket.once('close', () => clearTimeout(timer));
  }
}

function seenOnClose(): void {}
