/**
 * What a backend has said before it broke off: it is still there to be read, and says more than that a send failed. And a
 * reset that came together with the last bytes, which libuv takes for an orderly end.
 */
import type { Socket } from 'node:net';

type Sent = (error?: Error | null) => void;

/** What a Writable asks of a socket. */
interface Sender {
  _write(chunk: unknown, encoding: BufferEncoding, sent: Sent): void;
  _writev(chunks: unknown, sent: Sent): void;
}

const failed = new WeakSet<Socket>();

/**
 * From now on what the backend takes no more is dropped, instead of ending the connection with all that is not read yet: who
 * refuses an upload answers, and closes while it is under way. That it is over is told by reading.
 */
export function readOn(socket: Socket): void {
  const sender = socket as unknown as Sender;
  const { _write, _writev } = sender;
  const dropped = (sent: Sent) => (error?: Error | null) => {
    if (error != null) failed.add(socket);
    sent();
  };
  sender._write = (chunk, encoding, sent) => {
    if (failed.has(socket)) sent();
    else _write.call(socket, chunk, encoding, dropped(sent));
  };
  sender._writev = (chunks, sent) => {
    if (failed.has(socket)) sent();
    else _writev.call(socket, chunks, dropped(sent));
  };
}

/**
 * To be asked before any other listener hears 'end', of a connection on which nothing waits to be sent. Writing nothing sends
 * nothing, and fails on a connection that was reset.
 */
export function isReset(socket: Socket): boolean {
  if (socket.writable) socket.write('');
  return socket.errored !== null || failed.has(socket);
}
