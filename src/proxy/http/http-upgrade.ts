/**
 * One upgrade request (a WebSocket, say): carried as a request until the backend agrees, from
 * then on as a connection that holds its backend until either side ends it.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Dispatch, type DispatchOutcome, TCP_KEEPALIVE_MS } from '../backends/dispatch.ts';
import type { Carrier, Hold } from '../backends/hold.ts';
import type { TrafficTally } from '../backends/traffic.ts';
import { Relay } from '../tcp/relay.ts';
import { endBoth, shareFate } from '../tcp/tunnel.ts';
import { forgetUpgrade, forwardUpgrade } from './hardening.ts';
import { upgradeHeaders } from './headers.ts';
import type { HttpClient, HttpEntrance, Work } from './http-client.ts';
import { StoppableGate } from './stoppable.ts';
import { CLOSE_1012, WebSocketFrames } from './websocket.ts';

const SWITCHING_PROTOCOLS = 101;

export class HttpUpgrade implements Work, DispatchOutcome, Carrier {
  readonly #entrance: HttpEntrance;
  readonly #client: HttpClient;
  /** Until the join. */
  #request: { readonly req: IncomingMessage; readonly head: Buffer } | undefined;
  readonly #isWebSocket: boolean;
  readonly #socket: Socket;
  readonly #dispatch: Dispatch;
  readonly #since = performance.now();
  /** Where it is counted, once. */
  #traffic: TrafficTally;
  #counted = false;
  #upstream: ClientRequest | undefined;
  #joined = false;
  /** The backend answers with something else than the upgrade. */
  #relaying = false;
  #over = false;
  readonly #onReadable = () => {
    // Reading nothing is what makes an end of the connection known.
    if (this.#socket.readableLength === 0) this.#socket.read(0);
  };
  readonly #onEnd = () => void this.#socket.destroy();

  constructor(
    entrance: HttpEntrance,
    client: HttpClient,
    req: IncomingMessage,
    socket: Socket,
    head: Buffer,
  ) {
    this.#entrance = entrance;
    this.#traffic = entrance.unserved;
    this.#client = client;
    this.#request = { req, head };
    this.#isWebSocket = isWebSocket(req);
    this.#socket = socket;
    this.#dispatch = new Dispatch(entrance, 'request', socket, this);
  }

  start(): void {
    this.#client.begin(this);
    this.#dispatch.next(false);
  }

  found(socket: Socket, hold: Hold): void {
    hold.carriedBy(this);
    this.#traffic = hold.backend.traffic;
    if (this.#request === undefined) return;
    const { req, head } = this.#request;
    const headers = upgradeHeaders(req);
    forwardUpgrade(
      req,
      this.#socket,
      head,
      { socket, headers },
      {
        request: (upstream) => this.#watch(upstream),
        joined: () => this.#join(socket, hold),
        refused: (status) => this.#refused(status, hold),
        failed: (error) => this.#failed(error, hold),
      },
    );
    this.#socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
  }

  notFound(dialled: number): void {
    this.#traffic = this.#entrance.unserved;
    if (dialled === 0) this.#refuse(503, 'Service Unavailable\r\nRetry-After: 1');
    else this.#refuse(502, 'Bad Gateway');
  }

  waits(): void {
    this.#watchClient();
  }

  /** The client is gone, or was never answered. After the join both connections look after themselves. */
  abort(): void {
    if (this.#joined || this.#over) return;
    this.#upstream?.destroy();
    this.#finish();
  }

  #watch(upstream: ClientRequest): void {
    this.#upstream = upstream;
    upstream.once('close', () => {
      if (!this.#joined) this.#finish();
    });
    this.#watchClient();
  }

  #watchClient(): void {
    this.#unwatchClient();
    this.#socket.on('readable', this.#onReadable);
    this.#socket.on('end', this.#onEnd);
  }

  #refused(status: number, hold: Hold): void {
    if (!this.#over) hold.answer?.began(status);
    this.#count(status);
    this.#relaying = true;
    this.#unwatchClient();
  }

  #unwatchClient(): void {
    this.#socket.removeListener('readable', this.#onReadable);
    this.#socket.removeListener('end', this.#onEnd);
  }

  #join(upstream: Socket, hold: Hold): void {
    this.#joined = true;
    hold.answer?.began(SWITCHING_PROTOCOLS);
    this.#count(SWITCHING_PROTOCOLS);
    this.#unwatchClient();
    hold.become('upgraded');
    upstream.allowHalfOpen = true;
    shareFate(this.#socket, upstream, () => this.#finish());
    // http-proxy sets both to the system's default, which is hours, after this.
    process.nextTick(() => {
      for (const socket of [this.#socket, upstream]) socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
      forgetUpgrade(this.#socket, upstream);
      this.#carry(upstream, hold);
      this.#upstream = undefined;
      this.#request = undefined;
    });
  }

  /** Once http-proxy has let go of the two, and before a byte goes through. */
  #carry(upstream: Socket, hold: Hold): void {
    const closeSpreadMs = hold.backend.leave?.closeSpreadMs ?? 0;
    const frames = closeSpreadMs > 0 && this.#isWebSocket ? new WebSocketFrames() : undefined;
    const gate = frames && new StoppableGate(frames);
    const relay = new Relay(this.#socket, upstream, gate);
    const end = () => {
      relay.stop();
      endBoth(this.#socket, upstream);
    };
    const close = () => {
      if (frames?.closing === false && this.#socket.writable) this.#socket.write(CLOSE_1012);
    };
    hold.carriedBy(
      gate === undefined ? { end } : { end, ask: () => void (frames?.closing || gate.stop(close)) },
    );
    relay.start();
  }

  /** From here, before the join. */
  end(): void {
    const upstream = this.#upstream;
    if (this.#relaying) this.#socket.destroy();
    else this.#refuse(504, 'Gateway Timeout');
    upstream?.destroy();
  }

  #failed(error: Error, hold: Hold): void {
    if (this.#joined || this.#over) return;
    hold.answer?.broke();
    this.#entrance.reached(hold.backend, error);
    this.#upstream?.destroy();
    this.#refuse(502, 'Bad Gateway');
  }

  #count(status: number): void {
    if (this.#counted) return;
    this.#counted = true;
    this.#traffic.answered(status, performance.now() - this.#since);
  }

  #refuse(status: number, wordsAndHeaders: string): void {
    if (this.#over) return;
    this.#count(status);
    this.#unwatchClient();
    this.#socket.write(
      `HTTP/1.1 ${status} ${wordsAndHeaders}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    );
    this.#socket.destroySoon();
    this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#counted) this.#traffic.left();
    this.#dispatch.cancel();
    this.#client.end(this);
  }
}

function isWebSocket(req: IncomingMessage): boolean {
  return req.headers.upgrade?.trim().toLowerCase() === 'websocket';
}
