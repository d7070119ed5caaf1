/**
 * Requests at a fixed rate over connections that are kept, whether or not those before were answered. A request counts
 * from when it was sent or would have been if a connection had been free, so that one that waits for others counts its
 * wait; how late the timer of this process was is told apart.
 */
import { connect } from 'node:net';

const READ_BYTES = 16_384;
const OPEN_MS = 10_000;
const TICK_MS = 1;
/** What is not answered so long after the last one was sent counts as long as it has waited by then. */
const DRAIN_MS = 3_000;
const ASKED = Buffer.from('GET / HTTP/1.1\r\nHost: bench\r\n\r\n');
const STATUS = Buffer.from('HTTP/1.1 200');
const [ENDS, ends] = ['Connection: close', 'connection: close'].map((text) => Buffer.from(text));
/** All that the backend says, after the head. */
const BODY = Buffer.from('\r\n\r\nok\n');

/** One request at a time. Tells its owner `{free, answered, closed, failed}`. */
class Connection {
  /** By performance.now(), of the request under way. */
  startedAt;
  #part = Buffer.alloc(0);
  #socket;
  #owner;

  constructor(owner) {
    this.#owner = owner;
  }

  /** Resolves when it can send. */
  async open(place) {
    const callback = (size, buffer) => this.#read(buffer.subarray(0, size));
    const onread = { buffer: Buffer.alloc(READ_BYTES), callback };
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('no connection was opened in time')), OPEN_MS);
      this.#socket = connect({ ...place, onread }, () => resolve(clearTimeout(late)));
      this.#socket.setNoDelay(true);
      this.#socket.once('error', reject).on('error', () => {}); // `close` follows
    });
    this.#socket.once('close', () => this.#owner.closed(this));
  }

  send(at) {
    this.startedAt = at;
    this.#socket.write(ASKED);
  }

  destroy() {
    this.#socket.destroy();
  }

  #read(part) {
    const all = this.#part.length === 0 ? part : Buffer.concat([this.#part, part]);
    if (!all.subarray(-BODY.length).equals(BODY)) {
      this.#part = Buffer.from(all); // the buffer it came in is used again
      return;
    }
    if (!all.subarray(0, STATUS.length).equals(STATUS)) return this.#owner.failed(`it answered ${all}`);
    this.#part = Buffer.alloc(0);
    const at = this.startedAt;
    this.startedAt = undefined;
    this.#owner.answered(this, at, all.includes(ENDS) || all.includes(ends));
  }
}

/** Asks one place; nothing but keeping its connections while no slice is under way. */
export class Asker {
  #place;
  #rate;
  #all = new Set();
  #free = [];
  #waiting = [];
  #slice;
  #failure;

  /** `place`: of net.connect(). `rate`: requests a second. */
  constructor(place, rate) {
    this.#place = place;
    this.#rate = rate;
  }

  async open(connections) {
    await Promise.all(Array.from({ length: connections }, () => this.#add()));
  }

  close() {
    for (const connection of this.#all) connection.destroy();
    this.#all.clear();
  }

  /**
   * Asks for `leadMs` and `countedMs`. Answers what each request of the second took in ms, how many of them were
   * answered in that time, and how late this process was woken at most. Throws when an answer is not as it should be.
   */
  async slice(leadMs, countedMs) {
    const began = performance.now();
    this.#slice = { from: began + leadMs, to: began + leadMs + countedMs, took: [], inTime: 0 };
    const lateMs = await this.#sendAll(began, leadMs + countedMs);
    await this.#drain();
    const { took, inTime } = this.#slice;
    this.#slice = undefined;
    if (this.#failure !== undefined) throw new Error(this.#failure);
    return { took: Float64Array.from(took), inTime, lateMs };
  }

  answered(connection, at, isLast) {
    this.#count(at);
    if (isLast) return connection.destroy();
    this.#free.push(connection);
    this.#serve();
  }

  /** As any client does, what it was asked is asked again elsewhere; it has waited since it was to be sent. */
  closed(connection) {
    if (!this.#all.delete(connection)) return;
    this.#free = this.#free.filter((other) => other !== connection);
    if (connection.startedAt !== undefined) this.#waiting.unshift(connection.startedAt);
    this.#add().catch(({ message }) => this.failed(message));
  }

  failed(why) {
    this.#failure ??= why;
  }

  async #add() {
    const connection = new Connection(this);
    await connection.open(this.#place);
    this.#all.add(connection);
    this.#free.push(connection);
    this.#serve();
  }

  #sendAll(began, ms) {
    const wanted = Math.round((ms * this.#rate) / 1_000);
    return new Promise((resolve) => {
      let [sent, lateMs, before] = [0, 0, began];
      const ticks = setInterval(() => {
        const now = performance.now();
        lateMs = Math.max(lateMs, now - before - TICK_MS);
        before = now;
        const due = Math.min(wanted, Math.floor(((now - began) * this.#rate) / 1_000));
        for (; sent < due; sent++) this.#waiting.push(now);
        this.#serve();
        if (sent === wanted || this.#failure !== undefined) resolve(lateMs, clearInterval(ticks));
      }, TICK_MS);
    });
  }

  #serve() {
    while (this.#free.length > 0 && this.#waiting.length > 0) this.#free.shift().send(this.#waiting.shift());
  }

  async #drain() {
    const underWay = () => [...this.#all].filter(({ startedAt }) => startedAt !== undefined);
    const isDone = () =>
      this.#failure !== undefined || (this.#waiting.length === 0 && underWay().length === 0);
    for (const end = performance.now() + DRAIN_MS; !isDone() && performance.now() < end; )
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    for (const at of this.#waiting.splice(0)) this.#count(at);
    for (const connection of underWay()) {
      this.#count(connection.startedAt);
      connection.startedAt = undefined;
      connection.destroy();
    }
  }

  #count(at) {
    const { from, to, took } = this.#slice;
    if (at < from) return;
    const now = performance.now();
    took.push(now - at);
    if (now <= to) this.#slice.inTime += 1;
  }
}
