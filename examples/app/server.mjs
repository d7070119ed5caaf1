/**
 * The example application: one file, no packages. Answers HTTP, WebSocket and line-wise TCP and says its
 * version everywhere, so that a client can tell which release served it. On purpose it does nothing graceful
 * when it is told to end: keeping its connections whole is gantryd's work.
 */
import { createHash } from 'node:crypto';
import { createServer, get } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { hostname } from 'node:os';
import { createInterface } from 'node:readline';

const VERSION = process.env.VERSION ?? 'none';
const HTTP_PORT = Number(process.env.PORT ?? 8080);
const TCP_PORT = Number(process.env.TCP_PORT ?? 9000);
const READY_AFTER_MS = Number(process.env.READY_AFTER_MS ?? 0);
/** Of so many requests one is answered with 500, its health aside; 0: none. */
const FAIL_EVERY = Number(process.env.FAIL_EVERY ?? 0);
/** How much later it answers whatever is asked, its health aside. */
const LATE_MS = Number(process.env.LATE_MS ?? 0);
/** With SAY_HOST the lines' first one also says in which container. */
const HELLO_MORE = process.env.SAY_HOST === undefined ? '' : ` ${hostname()}`;
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const ASK_TIMEOUT_MS = 5000;
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** RFC 6455, section 1.3. */
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

const startedAt = Date.now();
const state = { broken: false, signals: [], asked: 0 };

const ROUTES = {
  '/': (_, response) => json(response, { version: version(), hostname: hostname() }),
  '/version': (_, response) => text(response, `${version()}\n`),
  '/health': (_, response) => health(response),
  '/break': (_, response) => switchHealth(response, true),
  '/mend': (_, response) => switchHealth(response, false),
  '/slow': slow,
  '/events': events,
  '/echo': echo,
  '/upload': upload,
  '/big': big,
  '/exit': (_, response, query) => exitSoon(response, amount(query, 'code', 1)),
  '/terminate': (_, response) => json(response, { signals: state.signals.push(Date.now()) }),
  '/links': (_, response) => json(response, links()),
  '/ask': ask,
  '/signals': (_, response) => json(response, { signals: state.signals.length, at: state.signals }),
};

if (process.env.BREAK_AFTER_MS !== undefined)
  setTimeout(() => (state.broken = true), Number(process.env.BREAK_AFTER_MS));
if (process.env.EXIT_AT_START !== undefined) exitAtStart(Number(process.env.EXIT_AT_START));
process.on('SIGTERM', () => {
  const ignored = process.env.IGNORE_SIGTERM !== undefined;
  console.log(`SIGTERM: ${ignored ? 'ignored' : 'ending at once'}`);
  if (!ignored) process.exit(0);
});
serveHttp();
serveLines();

function exitAtStart(code) {
  console.log(`example app ${VERSION} is starting`);
  console.error(`cannot start: EXIT_AT_START=${code}`);
  process.exit(code);
}

function serveHttp() {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://app');
    response.setHeader('x-version', version());
    response.setHeader('x-container', hostname());
    const route = ROUTES[pathname];
    if (route === undefined) return text(response, 'not found\n', 404);
    if (pathname === '/health') return route(request, response, searchParams);
    if (failsNow()) return text(response, 'FAIL_EVERY\n', 500);
    if (LATE_MS === 0) return route(request, response, searchParams);
    setTimeout(() => route(request, response, searchParams), LATE_MS);
  });
  server.requestTimeout = 0; // an upload may take as long as it takes
  server.on('upgrade', upgrade);
  server.listen(HTTP_PORT, () => console.log(`example app ${VERSION} listens on ${server.address().port}`));
}

/** Echoes lines, each with the version in front; says hello first. */
function serveLines() {
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    const said = version();
    socket.write(`${said} hello${HELLO_MORE}\n`);
    const lines = createInterface({ input: socket });
    for (const source of [socket, lines]) source.on('error', () => socket.destroy());
    lines.on('line', (line) => socket.write(`${said} ${line}\n`));
    lines.on('close', () => socket.end());
  });
  server.listen(TCP_PORT, () =>
    console.log(`example app ${VERSION} echoes lines on ${server.address().port}`),
  );
}

function failsNow() {
  state.asked += 1;
  return FAIL_EVERY > 0 && state.asked % FAIL_EVERY === 0;
}

function isReady() {
  return Date.now() - startedAt >= READY_AFTER_MS;
}

/** What is asked of it before it is ready shows in the answer: nobody should. */
function version() {
  return isReady() ? VERSION : `${VERSION}-unready`;
}

function health(response) {
  if (!isReady()) return text(response, 'starting\n', 503);
  text(response, state.broken ? 'broken\n' : 'ok\n', state.broken ? 503 : 200);
}

function switchHealth(response, broken) {
  state.broken = broken;
  json(response, { broken });
}

function slow(_, response, query) {
  const said = version();
  setTimeout(() => text(response, `${said}\n`), amount(query, 'ms', 5000));
}

/** Server-sent events, one per `every` milliseconds, numbered, until the client goes. */
function events(_, response, query) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const said = version();
  let number = 0;
  const tick = () => {
    number += 1;
    response.write(`id: ${number}\ndata: ${JSON.stringify({ version: said, number })}\n\n`);
  };
  tick();
  const timer = setInterval(tick, amount(query, 'every', 1000));
  response.on('close', () => clearInterval(timer));
}

function echo(request, response) {
  const chunks = [];
  let bytes = 0;
  request.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
  });
  request.on('end', () => {
    if (bytes > MAX_BODY_BYTES) return text(response, 'too long\n', 413);
    const body = Buffer.concat(chunks);
    const sha256 = createHash('sha256').update(body).digest('hex');
    response.writeHead(200, { 'content-length': bytes, 'x-sha256': sha256, 'x-bytes': bytes });
    response.end(body);
  });
}

/** Counts and hashes a body of any length, chunked or not, without keeping it. */
function upload(request, response) {
  const hash = createHash('sha256');
  let bytes = 0;
  request.on('data', (chunk) => {
    bytes += chunk.length;
    hash.update(chunk);
  });
  const said = version();
  request.on('end', () => json(response, { version: said, bytes, sha256: hash.digest('hex') }));
}

function big(_, response, query) {
  let left = amount(query, 'bytes', 1024 * 1024);
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': left });
  const block = Buffer.alloc(64 * 1024, 'x');
  const fill = () => {
    while (left > 0 && !response.destroyed) {
      const part = block.subarray(0, Math.min(left, block.length));
      left -= part.length;
      if (!response.write(part)) return response.once('drain', fill);
    }
    response.end();
  };
  fill();
}

function exitSoon(response, code) {
  response.once('finish', () => process.exit(code));
  json(response, { version: VERSION, exit: code });
}

/** The variables gantryd gave for the component links. */
function links() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => name.includes('_CLINK')));
}

/** Asks the component behind a link, `/ask?link=STORE`, and answers what it said and who passed it on. */
async function ask(_, response, query) {
  const address = process.env[`${query.get('link')}_CLINK`];
  if (address === undefined) return text(response, 'no such link\n', 404);
  try {
    if (address.startsWith('tcp:'))
      return json(response, { version: VERSION, address, answer: await greeting(address) });
    const { status, said } = await asked(address);
    if (status === 200) json(response, { version: VERSION, address, answer: JSON.parse(said) });
    else text(response, `${address} answered ${status}: ${said}`, 502);
  } catch (error) {
    text(response, `${address}: ${error.message} (${error.code})\n`, 502);
  }
}

/** Not fetch: what it compiles with its first request keeps it from hearing of a reset, which it then waits for. */
function asked(address) {
  return new Promise((resolve, reject) => {
    const late = AbortSignal.timeout(ASK_TIMEOUT_MS);
    const request = get(address, { agent: false, signal: late }, (answer) => {
      let said = '';
      answer.setEncoding('utf8').on('data', (part) => {
        said += part;
      });
      answer.once('end', () => resolve({ status: answer.statusCode, said })).once('error', reject);
    });
    request.once('error', reject);
  });
}

/** What a server of lines says first, as this application does: its version and a word. */
function greeting(address) {
  const { hostname: host, port } = new URL(address);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) });
    socket.setTimeout(ASK_TIMEOUT_MS, () => socket.destroy(new Error('no word in time')));
    socket.once('error', reject).once('close', () => reject(new Error('closed without a word')));
    createInterface({ input: socket })
      .on('error', reject)
      .once('line', (line) => {
        resolve({ version: line.split(' ')[0] });
        socket.end();
      });
  });
}

function amount(query, name, standard) {
  const value = Number(query.get(name) ?? standard);
  return Number.isFinite(value) && value >= 0 ? value : standard;
}

function json(response, value, status = 200) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`);
}

function text(response, value, status = 200) {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(value);
}

/** WebSocket echo at /ws (RFC 6455, no extensions); the first message tells the version. */
function upgrade(request, socket, head) {
  socket.on('error', () => socket.destroy());
  const key = request.headers['sec-websocket-key'];
  const wanted = request.headers.upgrade?.toLowerCase() === 'websocket' && key !== undefined;
  if (!wanted || new URL(request.url, 'http://app').pathname !== '/ws')
    return socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  const accept = createHash('sha1')
    .update(key + WEBSOCKET_GUID)
    .digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.write(frame(1, Buffer.from(JSON.stringify({ version: version(), hostname: hostname() }))));
  echoMessages(socket, head);
}

function echoMessages(socket, head) {
  let pending = head;
  let message = { opcode: 0, parts: [], bytes: 0 };
  const take = (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    for (let next = parseFrame(pending); next !== undefined; next = parseFrame(pending)) {
      pending = pending.subarray(next.length);
      message = answerFrame(socket, next, message);
    }
    if (pending.length > MAX_MESSAGE_BYTES) refuse(socket, 1009);
  };
  socket.on('data', take);
  socket.on('end', () => socket.end());
  take(Buffer.alloc(0));
}

/** Answers control frames at once, a message when its last fragment is in. Returns the message so far. */
function answerFrame(socket, { opcode, final, payload }, message) {
  if (opcode === 8) socket.end(frame(8, payload.subarray(0, 2)));
  else if (opcode === 9) socket.write(frame(10, payload));
  if (opcode >= 8) return message;
  const grown = {
    opcode: opcode || message.opcode,
    parts: [...message.parts, payload],
    bytes: message.bytes + payload.length,
  };
  if (grown.bytes > MAX_MESSAGE_BYTES) refuse(socket, 1009);
  if (!final) return grown;
  if (!socket.writableEnded) socket.write(frame(grown.opcode, Buffer.concat(grown.parts)));
  return { opcode: 0, parts: [], bytes: 0 };
}

function refuse(socket, code) {
  if (!socket.writableEnded) socket.end(frame(8, Buffer.from([code >> 8, code & 255])));
}

/** The first whole frame of `data`, unmasked; undefined while it is incomplete. */
function parseFrame(data) {
  if (data.length < 2) return undefined;
  const short = data[1] & 127;
  const header = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
  const masked = (data[1] & 128) !== 0;
  const start = header + (masked ? 4 : 0);
  if (data.length < start) return undefined;
  const size = short === 126 ? data.readUInt16BE(2) : short === 127 ? Number(data.readBigUInt64BE(2)) : short;
  if (data.length < start + size) return undefined;
  const payload = Buffer.from(data.subarray(start, start + size));
  if (masked) for (let i = 0; i < size; i += 1) payload[i] ^= data[header + (i & 3)];
  return { opcode: data[0] & 15, final: (data[0] & 128) !== 0, payload, length: start + size };
}

function frame(opcode, payload) {
  const size = payload.length;
  if (size < 126) return Buffer.concat([Buffer.from([128 | opcode, size]), payload]);
  const header = Buffer.alloc(size < 65536 ? 4 : 10);
  header[0] = 128 | opcode;
  header[1] = size < 65536 ? 126 : 127;
  if (size < 65536) header.writeUInt16BE(size, 2);
  else header.writeBigUInt64BE(BigInt(size), 2);
  return Buffer.concat([header, payload]);
}
