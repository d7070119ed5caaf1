/** Tells an orderly end from a reset that came together with the last bytes, which libuv takes for one. */
import type { Socket } from 'node:net';

/**
 * To be asked before any other listener hears 'end', of a connection on which nothing waits to be sent. Writing nothing sends
 * nothing, and fails on a connection that was reset; that is then told by 'error', too.
 */
export function isReset(socket: Socket): boolean {
  if (socket.writable) socket.write('');
  return socket.errored !== null;
}
