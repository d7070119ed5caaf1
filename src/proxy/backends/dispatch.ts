/**
 * Finds one client a backend that can be reached: picks, counts, dials, and tries the next one
 * when the dial fails; waits where there is none and the route has a waiting room. Reads the route anew
 * before each try, so a table swapped meanwhile counts. Nothing of the client has been read or sent before `found`.
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { LiveBackend } from './backend.ts';
import type { Hold, HoldKind } from './hold.ts';
import type { LiveRoute } from './live-route.ts';
import type { TrafficTally } from './traffic.ts';
import type { Waiter, WaitingRoom } from './waiting.ts';

/** Backends dialled for one client before it is told that there is none. */
const MAX_DIALS = 8;
/** Who may wait for a backend tries those that could not be reached again after so long. */
const DIAL_AGAIN_MS = 250;
/** First probe of a quiet connection (SO_KEEPALIVE), both towards clients and backends. */
export const TCP_KEEPALIVE_MS = 30_000;

/** What a client came in through; the route is the one in force now. */
export interface Entrance {
  readonly route: LiveRoute;
  readonly containerPort: number;
  /** Where clients are counted for whom there is no backend. */
  readonly unserved: TrafficTally;
  /** The backend answered, or did not. */
  reached(backend: LiveBackend, error?: Error): void;
}

export interface DispatchOutcome {
  found(socket: Socket, hold: Hold, reused: boolean): void;
  /** `dialled`: how many backends were tried; 0 when there was none. */
  notFound(dialled: number): void;
  /** It may take a while: who asks looks after the client, and cancels when it leaves. May come again. */
  waits?(): void;
  /** An idle connection of its own kind, instead of a plain one. */
  idle?(backend: LiveBackend, containerPort: number): Socket | undefined;
  /** Begins to connect, in its own way. */
  dial?(options: TcpNetConnectOpts): Socket;
}

export class Dispatch implements Waiter {
  readonly #entrance: Entrance;
  readonly #kind: HoldKind;
  readonly #client: Socket;
  readonly #outcome: DispatchOutcome;
  #tried: Set<LiveBackend> | undefined;
  #dialled = 0;
  #hold: Hold | undefined;
  #dialling: Socket | undefined;
  #since: number | undefined;
  #room: WaitingRoom | undefined;
  #waited = false;
  #later: NodeJS.Timeout | undefined;

  constructor(entrance: Entrance, kind: HoldKind, client: Socket, outcome: DispatchOutcome) {
    this.#entrance = entrance;
    this.#kind = kind;
    this.#client = client;
    this.#outcome = outcome;
  }

  /** `reuse`: an idle connection will do; otherwise the connection is always a fresh one. */
  next(reuse: boolean): void {
    const { route, containerPort } = this.#entrance;
    if (route.isEmpty && this.#wait(route.room)) return;
    const backend = this.#dialled < MAX_DIALS ? route.pick(containerPort, this.#tried) : undefined;
    if (backend === undefined) return void this.#none(route.room);
    const hold = backend.hold(this.#kind, this.#client);
    this.#hold = hold;
    const idle = reuse ? this.#idle(backend, containerPort) : undefined;
    if (idle !== undefined) return void this.#outcome.found(idle, hold, true);
    this.#dial(hold, containerPort, route.limits.connectTimeoutMs);
  }

  /** Backends that cannot be reached are on their way out of the table, or back. */
  #none(room: WaitingRoom | undefined): void {
    if (this.#dialled === 0 || !this.#wait(room)) {
      // The time may end while it dials: that is told as when it ends between two tries.
      return void this.#giveUp(this.#waited ? 0 : this.#dialled);
    }
    this.#later = setTimeout(() => {
      room?.leave(this);
      this.again();
    }, DIAL_AGAIN_MS);
  }

  /** No second try of this backend for this client. */
  avoid(backend: LiveBackend): void {
    this.#tried ??= new Set();
    this.#tried.add(backend);
  }

  again(): void {
    clearTimeout(this.#later);
    this.#room = undefined;
    // What was tried before belongs to another table, or to another moment.
    this.#tried = undefined;
    this.#dialled = 0;
    this.next(false);
  }

  timeUp(): void {
    clearTimeout(this.#later);
    this.#room = undefined;
    this.#giveUp(0);
  }

  get since(): number {
    this.#since ??= performance.now();
    return this.#since;
  }

  /** Gives up: ends a dial under way, leaves the waiting room and releases what is held. Idempotent. */
  cancel(): void {
    clearTimeout(this.#later);
    this.#room?.leave(this);
    this.#room = undefined;
    this.#dialling?.destroy();
    this.#dialling = undefined;
    this.#hold?.release();
    this.#hold = undefined;
  }

  #idle(backend: LiveBackend, containerPort: number): Socket | undefined {
    if (this.#outcome.idle === undefined) return backend.takeIdle(containerPort);
    return this.#outcome.idle(backend, containerPort);
  }

  #giveUp(dialled: number): void {
    this.#entrance.unserved.refused();
    this.#outcome.notFound(dialled);
  }

  #wait(room: WaitingRoom | undefined): boolean {
    if (room?.enter(this) !== true) return false;
    this.#room = room;
    if (!this.#waited) this.#entrance.unserved.held();
    this.#waited = true;
    this.#outcome.waits?.();
    return true;
  }

  #dial(hold: Hold, containerPort: number, timeoutMs: number): void {
    const { backend } = hold;
    this.#dialled += 1;
    const options = {
      ...backend.addressFor(containerPort),
      allowHalfOpen: this.#kind === 'tcp',
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    };
    const socket = this.#outcome.dial?.(options) ?? connect(options);
    backend.dialled(socket);
    this.#dialling = socket;
    const timer =
      timeoutMs > 0 ? setTimeout(() => socket.destroy(timedOut(timeoutMs)), timeoutMs) : undefined;
    const failed = (error: Error) => {
      clearTimeout(timer);
      if (this.#dialling !== socket) return;
      this.#dialling = undefined;
      hold.answer?.broke();
      backend.traffic.dialFailed();
      hold.release();
      backend.shun(containerPort);
      this.avoid(backend);
      this.#entrance.reached(backend, error);
      this.next(false);
    };
    socket.once('error', failed);
    socket.once('close', () => clearTimeout(timer));
    socket.once('connect', () => {
      clearTimeout(timer);
      if (this.#dialling !== socket) return void socket.destroy();
      this.#dialling = undefined;
      socket.removeListener('error', failed);
      // Node's client stops listening as soon as an answer is whole, when an error may be on its way.
      socket.on('error', seenOnClose);
      backend.forgive(containerPort);
      this.#entrance.reached(backend);
      this.#outcome.found(socket, hold, false);
    });
  }
}

function seenOnClose(): void {}

function timedOut(timeoutMs: number): Error {
  return new Error(`no connection within ${timeoutMs} ms`);
}
