/**
 * Requests at a fixed rate, whether or not those before were answered; prints JSON. A request counts from when it was
 * to be sent, also when it has to wait for a connection, and to the end when it is not answered; how late this process itself is woken is told apart.
 * `node rate.mjs HOST PORT CONNECTIONS RATE SECONDS`.
 */
import { connect } from 'node:net';
import { Latencies } from './latencies.mjs';

const READ_BYTES = 16_384;
const OPEN_MS = 10_000;
const WARM_UP_MS = 1_000;
const TICK_MS = 1;
/** A front that is so far behind will not make it. */
const MAX_WAITING = 20_000;
const ASKED = Buffer.from('GET / HTTP/1.1\r\nHost: bench\r\n\r\n');
const STATUS = Buffer.from('HTTP/1.1 200');
const [ENDS, ends] = ['Connection: close', 'connection: close'].map((text) => Buffer.from(text));
/** All that the backend says, after the head. */
const BODY = Buffer.from('\r\n\r\nok\n');
const [host, port, connections, rate, seconds] = process.argv.slice(2);
const latencies = new Latencies();
const lateness = new Latencies();
const free = [];
const waiting = [];
const busy = new Set();
let reopened = 0;

/** One request at a time. Where an answer says that the connection ends with it, another one is opened. */
class Connection {
  /** By performance.now(), of the request under way. */
  startedAt;
  #part = Buffer.alloc(0);
  #socket;

  /** Resolves when it can send. */
  async open() {
    const late = setTimeout(() => fail(new Error('no connection was opened in time')), OPEN_MS);
    await new Promise((resolve) => {
      const callback = (size, buffer) => this.#read(buffer.subarray(0, size));
      const onread = { buffer: Buffer.alloc(READ_BYTES), callback };
      this.#socket = connect({ host, port: Number(port), onread }, resolve);
      this.#socket.setNoDelay(true);
      this.#socket.once('error', fail).once('close', () => this.#closed());
    });
    clearTimeout(late);
    free.push(this);
  }

  send(at) {
    busy.add(this);
    this.startedAt = at;
    this.#socket.write(ASKED);
  }

  #read(part) {
    const all = this.#part.length === 0 ? part : Buffer.concat([this.#part, part]);
    if (!all.subarray(-BODY.length).equals(BODY)) {
      this.#part = Buffer.from(all); // the buffer it came in is used again
      return;
    }
    if (!all.subarray(0, STATUS.length).equals(STATUS)) return fail(new Error(`answer: ${all}`));
    this.#answered(all.includes(ENDS) || all.includes(ends));
    serve();
  }

  #answered(isLast) {
    if (this.startedAt - began > WARM_UP_MS) latencies.add(performance.now() - this.startedAt);
    busy.delete(this);
    this.#part = Buffer.alloc(0);
    this.startedAt = undefined;
    if (isLast) this.#socket.destroy();
    else free.push(this);
  }

  #closed() {
    if (this.startedAt !== undefined) return fail(new Error('a connection was closed under a request'));
    if (free.includes(this)) free.splice(free.indexOf(this), 1);
    reopened += 1;
    void new Connection().open().then(serve);
  }
}

await Promise.all(Array.from({ length: Number(connections) }, () => new Connection().open()));
const began = performance.now();
const endMs = WARM_UP_MS + Number(seconds) * 1_000;
let sent = 0;
const ticks = setInterval(tick, TICK_MS);

function tick() {
  const now = performance.now();
  if (now - began > endMs) return end();
  for (const due = ((now - began) * Number(rate)) / 1_000; sent < due; sent++) {
    const dueAt = began + (sent * 1_000) / Number(rate);
    if (dueAt - began > WARM_UP_MS) lateness.add(now - dueAt);
    waiting.push(now);
  }
  if (waiting.length > MAX_WAITING) return fail(new Error(`${waiting.length} requests wait to be sent`));
  serve();
}

function serve() {
  while (free.length > 0 && waiting.length > 0) free.shift().send(waiting.shift());
}

function end() {
  clearInterval(ticks);
  const now = performance.now();
  const answered = latencies.count;
  for (const at of [...waiting, ...Array.from(busy, ({ startedAt }) => startedAt)])
    if (at - began > WARM_UP_MS) latencies.add(now - at);
  const measured = latencies.result(endMs - WARM_UP_MS);
  const perSecond = answered / measured.seconds;
  console.log(JSON.stringify({ ...measured, perSecond, lateUs: lateness.quantile(0.99) * 1_000, reopened }));
  process.exit();
}

function fail(error) {
  console.error(error.message);
  process.exit(1);
}
