/**
 * WebSockets that each send a message as soon as the one before has come back; prints JSON, with `sent` for those of the
 * time before it counts as well.
 * `node echo.mjs HOST PORT SOCKETS SECONDS`.
 */
import { connect } from 'node:net';
import { ANSWER, ASKED } from './frames.mjs';
import { Latencies } from './latencies.mjs';

const READ_BYTES = 65_536;
const OPEN_MS = 10_000;
const WARM_UP_MS = 500;
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const [host, port, sockets, seconds] = process.argv.slice(2);
const latencies = new Latencies();
let counting = false;
let answered = 0;

const opened = await Promise.all(Array.from({ length: Number(sockets) }, open));
for (const start of opened) start();
setTimeout(measure, WARM_UP_MS);

function measure() {
  counting = true;
  const began = performance.now();
  setTimeout(() => {
    console.log(JSON.stringify({ ...latencies.result(performance.now() - began), sent: answered }));
    process.exit();
  }, Number(seconds) * 1_000);
}

/** Resolves, when the other side has switched protocols, with what begins the sending. */
function open() {
  return new Promise((resolve) => {
    const late = setTimeout(() => fail(new Error('no WebSocket was opened in time')), OPEN_MS);
    const socket = connect({
      host,
      port: Number(port),
      onread: {
        buffer: Buffer.alloc(READ_BYTES),
        callback: (size, buffer) => read(buffer.subarray(0, size)),
      },
    });
    socket.setNoDelay(true);
    socket.once('error', fail).once('close', () => fail(new Error('a WebSocket was closed')));
    socket.write(
      `GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16, 'k').toString('base64')}\r\n\r\n`,
    );
    let head = Buffer.alloc(0);
    let sentAt;
    let bytes = 0;
    const send = () => {
      sentAt = performance.now();
      socket.write(ASKED);
    };
    const read = (part) => {
      if (head !== undefined) return readHead(part);
      bytes += part.length;
      if (bytes < ANSWER.length) return;
      bytes -= ANSWER.length;
      answered += 1;
      if (counting) latencies.add(performance.now() - sentAt);
      send();
    };
    const readHead = (part) => {
      head = Buffer.concat([head, part]);
      if (!head.includes(END_OF_HEAD)) return;
      if (!head.toString('latin1').startsWith('HTTP/1.1 101')) return fail(new Error(`it answered ${head}`));
      head = undefined;
      clearTimeout(late);
      resolve(send);
    };
  });
}

function fail(error) {
  console.error(error.message);
  process.exit(1);
}
