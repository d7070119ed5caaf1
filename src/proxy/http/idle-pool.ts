/**
 * Idle keep-alive connections to the ports of one container, newest first. A connection that
 * says anything, ends or fails while idle is dropped; none is kept longer than a few seconds,
 * because servers close idle connections too and the later the more often as it is reused.
 */
import type { Socket } from 'node:net';

/** Below the shortest idle timeout common servers use (5 s). */
export const IDLE_UPSTREAM_MS = 4_000;
const MAX_IDLE_PER_PORT = 128;

/** A connection that can be left alone for a while. */
export interface Restful {
  readonly socket: Socket;
  /** What was sent is taken: a server may answer before it has read all. */
  readonly isClear: boolean;
  /** Until when, by performance.now(). */
  restsUntil: number;
  /** From now on it tells the pool when it is of no use any more. */
  rest(pool: Dropping<this>): void;
  /** It is used again. */
  wake(): void;
}

export interface Dropping<T> {
  drop(connection: T): void;
}

class IdlePool<T extends Restful> implements Dropping<T> {
  #idle: T[] = [];

  take(): T | undefined {
    const now = performance.now();
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      last.wake();
      if (last.restsUntil > now && isUsable(last)) return last;
      last.socket.destroy();
    }
    return undefined;
  }

  put(connection: T, keepMs: number): void {
    const full = this.#idle.length >= MAX_IDLE_PER_PORT;
    if (full || keepMs <= 0 || !isUsable(connection)) return void connection.socket.destroy();
    connection.restsUntil = performance.now() + keepMs;
    connection.rest(this);
    this.#idle.push(connection);
  }

  drop(connection: T): void {
    this.#idle = this.#idle.filter((idle) => idle !== connection);
    connection.socket.destroy();
  }

  expire(now: number): void {
    const expired = this.#idle.filter(({ restsUntil }) => restsUntil <= now);
    if (expired.length === 0) return;
    this.#idle = this.#idle.filter(({ restsUntil }) => restsUntil > now);
    for (const { socket } of expired) socket.destroy();
  }

  close(): void {
    const all = this.#idle;
    this.#idle = [];
    for (const { socket } of all) socket.destroy();
  }
}

/** One pool for each port. */
export class IdlePools<T extends Restful> {
  readonly #pools = new Map<number, IdlePool<T>>();

  take(port: number): T | undefined {
    return this.#pools.get(port)?.take();
  }

  put(port: number, connection: T, keepMs: number): void {
    let pool = this.#pools.get(port);
    if (pool === undefined) {
      pool = new IdlePool();
      this.#pools.set(port, pool);
    }
    pool.put(connection, keepMs);
  }

  expire(now: number): void {
    for (const pool of this.#pools.values()) pool.expire(now);
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }
}

/** A connection that nobody listens to otherwise while it rests. */
export class RestingSocket implements Restful {
  readonly socket: Socket;
  restsUntil = 0;
  #gone: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  get isClear(): boolean {
    return this.socket.writableLength === 0;
  }

  rest(pool: Dropping<RestingSocket>): void {
    const gone = () => pool.drop(this);
    for (const event of IDLE_EVENTS) this.socket.on(event, gone);
    this.#gone = gone;
  }

  wake(): void {
    if (this.#gone === undefined) return;
    for (const event of IDLE_EVENTS) this.socket.removeListener(event, this.#gone);
    this.#gone = undefined;
  }
}

const IDLE_EVENTS = ['data', 'end', 'error', 'close'] as const;

/** Nothing is on its way, and nothing is there that nobody asked for. */
function isUsable({ socket, isClear }: Restful): boolean {
  const { destroyed, writable, readable, readableLength } = socket;
  return !destroyed && writable && readable && isClear && readableLength === 0;
}
