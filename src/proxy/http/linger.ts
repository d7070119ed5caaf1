/**
 * Ends a connection whose client is still sending. Closed at once, what is not read would have the kernel reset it, and the
 * client might never see its answer (RFC 9112, section 9.6). So only our side is ended, and what comes is read and dropped.
 */
import type { Socket } from 'node:net';

const MOST_MS = 30_000;
const MOST_SILENT_MS = 5_000;

/** Resolves `sent`, once, when everything that was written is. INVARIANT: what the socket reads is taken by a listener. */
export function linger(socket: Socket, sent: () => void = () => {}): void {
  const most = setTimeout(() => socket.destroy(), MOST_MS);
  socket.setTimeout(MOST_SILENT_MS, () => socket.destroy());
  socket.once('close', () => clearTimeout(most));
  socket.once('end', () => socket.destroySoon());
  socket.end(sent);
  socket.resume();
}
