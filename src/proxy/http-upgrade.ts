/**
 * One upgrade request (a WebSocket, say): carried as a request until the backend agrees, from
 * then on as a connection that holds its backend until either side ends it.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Hold } from './backend.ts';
import { Dispatch, type DispatchOutcome, TCP_KEEPALIVE_MS } from './dispatch.ts';
import { forwardUpgrade } from './hardening.ts';
import { upgradeHeaders } from './headers.ts';
import type { HttpClient, HttpEntrance, Work } from './http-client.ts';
import { shareFate } from './tunnel.ts';

const SWITCHING_PROTOCOLS = 101;

export class HttpUpgrade implements Work, DispatchOutcome {
  readonly #entrance: HttpEntrance;
  readonly #client: HttpClient;
  readonly #req: IncomingMessage;
  readonly #socket: Socket;
  readonly #head: Buffer;
  readonly #dispatch: Dispatch;
  #upstream: ClientRequest | undefined;
  #joined = false;
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
    this.#client = client;
    this.#req = req;
    this.#socket = socket;
    this.#head = head;
    this.#dispatch = new Dispatch(entrance, 'request', socket, this);
  }

  start(): void {
    this.#client.begin(this);
    this.#dispatch.next(false);
  }

  found(socket: Socket, hold: Hold): void {
    const headers = upgradeHeaders(this.#req);
    forwardUpgrade(
      this.#req,
      this.#socket,
      this.#head,
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
    this.#refuse(dialled === 0 ? '503 Service Unavailable\r\nRetry-After: 1' : '502 Bad Gateway');
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
    this.#socket.on('readable', this.#onReadable);
    this.#socket.on('end', this.#onEnd);
  }

  #refused(status: number, hold: Hold): void {
    if (!this.#over) hold.answer?.began(status);
    this.#unwatchClient();
  }

  #unwatchClient(): void {
    this.#socket.removeListener('readable', this.#onReadable);
    this.#socket.removeListener('end', this.#onEnd);
  }

  #join(upstream: Socket, hold: Hold): void {
    this.#joined = true;
    hold.answer?.began(SWITCHING_PROTOCOLS);
    this.#unwatchClient();
    hold.become('upgraded');
    upstream.allowHalfOpen = true;
    shareFate(this.#socket, upstream, () => this.#finish());
    // http-proxy sets both to the system's default, which is hours, after this.
    process.nextTick(() => {
      for (const socket of [this.#socket, upstream]) socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
    });
  }

  #failed(error: Error, hold: Hold): void {
    if (this.#joined || this.#over) return;
    hold.answer?.broke();
    this.#entrance.reached(hold.backend, error);
    this.#upstream?.destroy();
    this.#refuse('502 Bad Gateway');
  }

  #refuse(statusAndHeaders: string): void {
    if (this.#over) return;
    this.#unwatchClient();
    this.#socket.write(`HTTP/1.1 ${statusAndHeaders}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    this.#socket.destroySoon();
    this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#dispatch.cancel();
    this.#client.end(this);
  }
}
