/**
 * Idle keep-alive connections to one port of one container, newest first. A connection that
 * says anything, ends or fails while idle is dropped; none is kept longer than a few seconds,
 * because servers close idle connections too and the later the more often as it is reused.
 */
import type { Socket } from 'node:net';

/** Below the shortest idle timeout common servers use (5 s). */
export const IDLE_UPSTREAM_MS = 4_000;
const MAX_IDLE_PER_PORT = 128;

interface Idle {
  readonly socket: Socket;
  readonly until: number;
  readonly forget: () => void;
}

export class IdlePool {
  #idle: Idle[] = [];

  take(): Socket | undefined {
    const now = performance.now();
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      last.forget();
      if (last.until > now && isUsable(last.socket)) return last.socket;
      last.socket.destroy();
    }
    return undefined;
  }

  put(socket: Socket, keepMs: number): void {
    const full = this.#idle.length >= MAX_IDLE_PER_PORT;
    if (full || keepMs <= 0 || !isUsable(socket)) return void socket.destroy();
    const gone = () => {
      this.#idle = this.#idle.filter((idle) => idle.socket !== socket);
      socket.destroy();
    };
    for (const event of IDLE_EVENTS) socket.on(event, gone);
    const forget = () => {
      for (const event of IDLE_EVENTS) socket.removeListener(event, gone);
    };
    this.#idle.push({ socket, until: performance.now() + keepMs, forget });
  }

  expire(now: number): void {
    const expired = this.#idle.filter((idle) => idle.until <= now);
    if (expired.length === 0) return;
    this.#idle = this.#idle.filter((idle) => idle.until > now);
    for (const idle of expired) idle.socket.destroy();
  }

  close(): void {
    const all = this.#idle;
    this.#idle = [];
    for (const idle of all) idle.socket.destroy();
  }
}

const IDLE_EVENTS = ['data', 'end', 'error', 'close'] as const;

function isUsable(socket: Socket): boolean {
  return !socket.destroyed && socket.writable && socket.readable && socket.readableLength === 0;
}
