/**
 * The http side of a listener: takes client connections handed to it and carries each request to
 * a backend of the route in force when it arrives. Connections live as long as the client wants,
 * requests hold a backend from the pick to their last byte. There are two paths: the fast one takes
 * what is plain and declines the rest, with the connection, to the one over http-proxy.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ProxyLimits } from '../tables/routes.ts';
import { FastClient, type FastHost, type FastTerms } from './fast-client.ts';
import { MAX_HEADER_BYTES } from './hardening.ts';
import { hasBody } from './headers.ts';
import { HttpClient, type HttpEntrance } from './http-client.ts';
import { HttpExchange } from './http-exchange.ts';
import { HttpUpgrade } from './http-upgrade.ts';

/** How often connections that send their request head too slowly are looked for. */
const HEADERS_CHECK_MS = 1_000;
/** How long a keep-alive client is left to come back before an idle connection that must go is closed. */
export const CLOSE_GRACE_MS = 1_500;

/** Which path connections begin on. */
export type HttpPath = 'fast' | 'http-proxy';

export class HttpSide implements FastHost {
  readonly #entrance: HttpEntrance;
  readonly #path: HttpPath;
  readonly #server: Server;
  readonly #fast = new Set<FastClient>();
  terms: FastTerms = { headersTimeoutMs: 0, keepAliveTimeoutMs: 0, keepAliveText: '' };
  readonly #clients = new Map<Socket, HttpClient>();

  constructor(entrance: HttpEntrance, limits: ProxyLimits, path: HttpPath = 'fast') {
    this.#entrance = entrance;
    this.#path = path;
    this.#server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      connectionsCheckingInterval: HEADERS_CHECK_MS,
    });
    this.#server.requestTimeout = 0;
    this.limit(limits);
    this.#server.on('request', (req, res) => this.#request(req, res));
    this.#server.on('upgrade', (req, socket, head) => this.#upgrade(req, socket as Socket, head));
    // The server never listens itself; without this it would not start to look for slow heads.
    this.#server.emit('listening');
  }

  limit(limits: ProxyLimits): void {
    this.#server.headersTimeout = limits.headersTimeoutMs;
    this.#server.keepAliveTimeout = limits.keepAliveTimeoutMs;
    this.terms = { ...limits, keepAliveText: keepAliveText(limits.keepAliveTimeoutMs) };
  }

  accept(socket: Socket): void {
    if (this.#path === 'fast') this.#fast.add(new FastClient(socket, this.#entrance, this));
    else this.#acceptAnything(socket);
  }

  closed(client: FastClient): void {
    this.#fast.delete(client);
  }

  /** Reads the same request again, on the path that takes everything. */
  declined(client: FastClient, bytes: Buffer): void {
    const { socket } = client;
    this.#fast.delete(client);
    socket.pause();
    socket.unshift(bytes);
    this.#acceptAnything(socket);
    socket.resume();
  }

  #acceptAnything(socket: Socket): void {
    const client = new HttpClient();
    this.#clients.set(socket, client);
    socket.on('error', ignoreReset);
    socket.once('close', () => {
      this.#clients.delete(socket);
      client.abort();
    });
    this.#server.emit('connection', socket);
  }

  /** Once a second: lets go of clients that take too long, and of idle ones when they are to leave. */
  tick(now: number): void {
    for (const client of this.#fast) client.tick(now);
    if (!this.#entrance.dismissing) return;
    for (const client of this.#fast) if (client.idleMs(now) >= CLOSE_GRACE_MS) client.close();
    for (const [socket, client] of this.#clients)
      if (client.idleMs(now) >= CLOSE_GRACE_MS) socket.destroySoon();
  }

  close(): void {
    this.#server.close();
  }

  #request(req: IncomingMessage, res: ServerResponse): void {
    const client = this.#clients.get(req.socket);
    if (client === undefined) return void req.socket.destroy();
    new HttpExchange(this.#entrance, client, req, res).start();
  }

  #upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void {
    const client = this.#clients.get(socket);
    if (client === undefined || client.busy) return void socket.destroy();
    if (isOfferOnly(req)) return void this.#declineUpgrade(req, socket, head);
    new HttpUpgrade(this.#entrance, client, req, socket, head).start();
  }

  /** Parses the same request again without its offer to upgrade, which a server may ignore. */
  #declineUpgrade(req: IncomingMessage, socket: Socket, head: Buffer): void {
    if (head.length > 0) socket.unshift(head);
    socket.unshift(Buffer.from(headWithoutUpgrade(req), 'latin1'));
    this.#server.emit('connection', socket);
  }
}

/** As Node's server says it. */
function keepAliveText(timeoutMs: number): string {
  const hint = timeoutMs > 0 ? `Keep-Alive: timeout=${Math.floor(timeoutMs / 1_000)}\r\n` : '';
  return `Connection: keep-alive\r\n${hint}`;
}

/** Clients offer h2c with ordinary requests, bodies included; nobody offers a tunnel together with a body. */
function isOfferOnly(req: IncomingMessage): boolean {
  return hasBody(req) || /(^|[,\s])h2c?($|[,\s])/i.test(req.headers.upgrade ?? '');
}

function headWithoutUpgrade(req: IncomingMessage): string {
  let head = `${req.method} ${req.url} HTTP/${req.httpVersion}\r\n`;
  for (let at = 0; at + 1 < req.rawHeaders.length; at += 2) {
    const [name = '', value = ''] = req.rawHeaders.slice(at, at + 2);
    const lower = name.toLowerCase();
    if (lower === 'upgrade' || lower === 'http2-settings') continue;
    head += `${name}: ${lower === 'connection' ? withoutUpgrade(value) : value}\r\n`;
  }
  return `${head}\r\n`;
}

function withoutUpgrade(connection: string): string {
  const names = connection.split(',').map((name) => name.trim());
  return names.filter((name) => name.toLowerCase() !== 'upgrade').join(', ');
}

/** A client may reset its connection at any time; what it held is let go on 'close'. */
function ignoreReset(): void {}
