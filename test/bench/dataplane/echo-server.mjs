/**
 * Echoes WebSocket messages of one size, with next to no work for each, so that what is in front of it is measured. It
 * takes each as it comes for granted that its clients send such only. `node echo-server.mjs PORT`.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { ANSWER, ASKED_BYTES } from './frames.mjs';

/** RFC 6455, 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const BACKLOG = 4096;
const [port] = process.argv.slice(2);

createServer((_, answer) => answer.end('ok\n'))
  .on('upgrade', ({ headers }, socket) => {
    const accept = createHash('sha1').update(`${headers['sec-websocket-key']}${GUID}`).digest('base64');
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    let bytes = 0;
    socket.on('data', (part) => {
      bytes += part.length;
      for (; bytes >= ASKED_BYTES; bytes -= ASKED_BYTES) socket.write(ANSWER);
    });
  })
  .listen({ port: Number(port), backlog: BACKLOG });
