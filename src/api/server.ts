/**
 * The HTTP server of the API: finds the route, asks who calls and what he may, reads and checks what was sent, and sends
 * what the route answers. Knows nothing of what the routes do. Everything has a bound, and what is over it is refused
 * at no more than the cost of its headers.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { GantryError, isGantryError, messageOf } from '../errors.ts';
import { type Metrics, NO_METRICS } from '../metrics/metrics.ts';
import { linger, refuseClient, send } from './answers.ts';
import { ANYBODY, allow, type Door, type Known } from './auth.ts';
import {
  hasBody,
  MAX_BODY_BYTES,
  parseBody,
  readBody,
  refuseOtherThanJson,
  STALL_MS,
  TOTAL_MS,
  UPLOAD,
  type UploadBounds,
  watchUpload,
} from './body.ts';
import { checkedBody, checkedQuery } from './checked.ts';
import { type Found, type Paths, pathsOf, targetOf } from './paths.ts';
import { PROBLEM, problemOf, Refusal } from './problem.ts';
import { type Rate, RateLimit } from './rate.ts';
import { type CountedRequest, RequestNumbers } from './request-numbers.ts';
import type { Call, Reply, Route } from './route.ts';
import { acceptUpgrades, upgradeOf } from './upgrade.ts';

/** Beyond them connections are refused. */
const MAX_CONNECTIONS = 512;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 100;
const HEADERS_TIMEOUT_MS = 10_000;
/** How often connections are looked at for that. */
const CHECK_MS = 1_000;
/** A connection on which nothing moves, in either direction. */
const IDLE_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 5_000;
/** A connection of which nothing is heard for so long is asked whether the other end is there. */
const PROBE_MS = 15_000;
const RATE: Rate = { perSecond: 1_000, burst: 2_000 };
const TLS_VERSION = 'TLSv1.2';
/** On one connection, where each waits for the answers before it. */
const MAX_AT_ONCE = 16;
/** Of those who are refused: nobody finds a token by trying. */
const REFUSED_RATE: Rate = { perSecond: 10, burst: 100 };

export interface ApiOptions {
  readonly address: string;
  /** 0: any. */
  readonly port: number;
  readonly door: Door;
  readonly routes: readonly Route[];
  /** Absent: plain HTTP. */
  readonly tls?: Certificate;
  /** What to do when the port is taken. */
  readonly portHint?: string;
  /** Told of what is answered with 500. */
  readonly onDefect?: (error: unknown) => void;
  readonly bounds?: Partial<Bounds>;
  /** Default: nobody wants numbers. */
  readonly metrics?: Metrics;
}

/** PEM, both. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Tests make them small. */
export interface Bounds {
  readonly rate: Rate;
  readonly refusedRate: Rate;
  readonly headersMs: number;
  readonly stallMs: number;
  readonly totalMs: number;
  readonly upload: UploadBounds;
}

export interface Api {
  readonly port: number;
  /** Whoever connects from now on is shown this one; who is connected stays. Throws usage for one that is none. */
  renew(tls: Certificate): void;
  /** Cuts what is open. Idempotent. */
  close(): Promise<void>;
}

/** Throws port-taken when it cannot listen there, usage for a certificate that is none. */
export async function openApi(options: ApiOptions): Promise<Api> {
  const serving = new Serving(options);
  const server = serverOf(options, serving);
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket.once('close', () => open.delete(socket)));
  });
  await listening(server, options);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : options.port,
    renew(tls) {
      refuseUnusable(tls);
      if (server instanceof TlsServer) server.setSecureContext({ ...tls, minVersion: TLS_VERSION });
    },
    close: () => {
      serving.close();
      return closed(server, open);
    },
  };
}

function serverOf({ tls, bounds, routes }: ApiOptions, serving: Serving): Server {
  const headersMs = bounds?.headersMs ?? HEADERS_TIMEOUT_MS;
  const common = {
    maxHeaderSize: MAX_HEADER_BYTES,
    connectionsCheckingInterval: Math.min(CHECK_MS, headersMs),
    keepAlive: true,
    keepAliveInitialDelay: PROBE_MS,
  };
  const server: Server = tls === undefined ? createServer(common) : tlsServer(tls, headersMs, common);
  server.maxConnections = MAX_CONNECTIONS;
  server.maxHeadersCount = MAX_HEADERS;
  server.headersTimeout = headersMs;
  server.requestTimeout = 0; // an upload takes as long as it moves
  server.timeout = IDLE_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.on('request', (request, response) => void serving.answer(request, response));
  server.on('checkContinue', (request, response) => void serving.answer(request, response));
  server.on('checkExpectation', (request, response) => void serving.answer(request, response));
  acceptUpgrades(server, routes, (request, response) => void serving.answer(request, response));
  server.on('clientError', (error, socket) => {
    serving.numbers.refusedFor('head');
    refuseClient(error, socket as Socket);
  });
  server.on('drop', () => serving.numbers.refusedFor('connections'));
  return server;
}

function tlsServer(tls: Certificate, handshakeTimeout: number, common: object): Server {
  refuseUnusable(tls);
  const server = createTlsServer({ ...common, ...tls, minVersion: TLS_VERSION, handshakeTimeout });
  // Where there is no TLS yet no answer could be sent: it would wait for that for ever.
  return server.on('tlsClientError', (_, socket) => socket.destroy());
}

function refuseUnusable(tls: Certificate): void {
  try {
    createSecureContext({ ...tls });
  } catch (cause) {
    throw new GantryError('usage', `the certificate of the API cannot be used: ${messageOf(cause)}`, {
      hint: '--api-cert and --api-key name PEM files that belong together.',
      cause,
    });
  }
}

function listening(server: Server, { address, port, portHint }: ApiOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    // Later ones are of connections that could not be accepted, and end nothing.
    server.on('error', (error) =>
      reject(
        new GantryError('port-taken', `the API cannot listen on ${address}:${port}: ${messageOf(error)}`, {
          hint: portHint ?? 'Give it another address with --api-address, or another port with --api-port.',
          cause: error,
        }),
      ),
    );
    server.listen(port, address, resolve);
  });
}

/** `open`: also those that have not said yet that they speak TLS. */
function closed(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
    for (const socket of open) socket.destroy();
  });
}

class Serving {
  readonly #options: ApiOptions;
  readonly #paths: Paths;
  /** Of the requests that are being answered, by their connections. */
  readonly #open = new Map<Socket, Set<AbortController>>();
  readonly #limit: RateLimit;
  readonly #refused: RateLimit;
  readonly numbers: RequestNumbers;

  constructor(options: ApiOptions) {
    this.#options = options;
    this.#paths = pathsOf(options.routes);
    this.#limit = new RateLimit(options.bounds?.rate ?? RATE);
    this.#refused = new RateLimit(options.bounds?.refusedRate ?? REFUSED_RATE);
    this.numbers = new RequestNumbers(options.metrics ?? NO_METRICS);
  }

  close(): void {
    for (const asked of this.#open.values()) for (const gone of asked) gone.abort();
  }

  /** Never rejects. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const counted = this.numbers.begin(request.method ?? '');
    const { gone, atOnce } = this.#opened(request, response, counted);
    try {
      if (atOnce > MAX_AT_ONCE) throw tooManyAtOnce();
      const { found, known, query } = this.#asked(request);
      const { route, params } = found;
      counted.route = route;
      const words = await checkedQuery(route, query);
      const body = await this.#body(route, request, response);
      if (route.body === 'bytes') this.#boundUpload(request, gone);
      const { signal } = gone;
      const upgrade = route.upgrade === undefined ? {} : { upgrade: upgradeOf(route, request, response) };
      const call = { request, response, params, query: words, body, caller: known.caller, signal };
      await reply(route, { ...call, ...upgrade });
    } catch (error) {
      const { aborted, reason } = gone.signal;
      if (!aborted) this.#fail(response, error);
      else if (isGantryError(reason)) this.#fail(response, reason);
    }
  }

  /** `gone`: aborted when the caller went away, the answer is whole, the server closes or, with an error, so. */
  #opened(request: IncomingMessage, response: ServerResponse, counted: CountedRequest) {
    const asked = this.#askedOn(request.socket);
    const gone = new AbortController();
    asked.add(gone);
    response.once('finish', () => linger(request));
    response.once('close', () => {
      asked.delete(gone);
      gone.abort();
    });
    request.on('error', () => gone.abort());
    response.on('error', () => gone.abort());
    gone.signal.addEventListener('abort', () =>
      counted.end(response.headersSent ? response.statusCode : undefined, gone.signal.reason),
    );
    return { gone, atOnce: asked.size };
  }

  #boundUpload(request: IncomingMessage, gone: AbortController): void {
    const end = watchUpload(request, this.#options.bounds?.upload ?? UPLOAD, (slow) => gone.abort(slow));
    gone.signal.addEventListener('abort', end);
  }

  /** A response that waits for those before it is not told when its connection closes. */
  #askedOn(socket: Socket): Set<AbortController> {
    const known = this.#open.get(socket);
    if (known !== undefined) return known;
    const asked = new Set<AbortController>();
    this.#open.set(socket, asked);
    socket.once('close', () => {
      this.#open.delete(socket);
      for (const gone of asked) gone.abort();
    });
    return asked;
  }

  /** Who asks is known before anything is said of what there is. */
  #asked(request: IncomingMessage): { found: Found; known: Known; query: URLSearchParams } {
    const target = targetOf(request.url ?? '');
    const found = attempt(() => this.#paths.find(request.method ?? '', target));
    const isOpen = 'value' in found && found.value.route.access === 'open';
    const known = isOpen ? ANYBODY : this.#identify(request);
    this.#bound(this.#limit, known.id ?? addressOf(request));
    if ('error' in found) throw found.error;
    const { route, params } = found.value;
    allow(known, route, params.project);
    return { found: found.value, known, query: target.query };
  }

  #identify(request: IncomingMessage): Known {
    try {
      return this.#options.door.identify(request.headers);
    } catch (error) {
      this.#bound(this.#refused, addressOf(request));
      throw error;
    }
  }

  #bound(limit: RateLimit, who: string): void {
    const waitMs = limit.take(who, performance.now());
    if (waitMs === 0) return;
    throw new Refusal('too-many', 'these are more requests than are answered', {
      hint: 'Ask again after the seconds of Retry-After.',
      retryable: true,
      headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) },
    });
  }

  async #body({ body, compatible }: Route, request: IncomingMessage, response: ServerResponse) {
    const announced = hasBody(request.headers);
    if (body === undefined && announced && compatible !== true)
      throw new GantryError('too-large', `${request.method} takes no body here`);
    if (body === undefined) return undefined;
    const goOn = () => {
      if (request.headers.expect !== undefined) response.writeContinue();
    };
    if (body === 'bytes') return void goOn();
    if (announced && compatible !== true) refuseOtherThanJson(request.headers);
    const { stallMs = STALL_MS, totalMs = TOTAL_MS } = this.#options.bounds ?? {};
    const bounds = { stallMs, totalMs, maxBytes: body.maxBytes ?? MAX_BODY_BYTES };
    const bytes = announced ? await readBody(request, bounds, goOn) : Buffer.alloc(0);
    // Nothing is an object without anything.
    return checkedBody(body.schema, bytes.length === 0 ? {} : parseBody(bytes));
  }

  /** What had begun is cut, so that nobody takes it for complete. */
  #fail(response: ServerResponse, error: unknown): void {
    if (response.headersSent) return void response.destroy();
    this.numbers.refused(error);
    const { status, headers, body } = problemOf(error);
    if (body.code === 'internal') this.#options.onDefect?.(error);
    const again = status === 503 && body.retryable ? { 'retry-after': '1' } : {};
    send(response, { status, headers: { ...again, ...headers }, body }, PROBLEM);
  }
}

function tooManyAtOnce(): GantryError {
  return new GantryError('too-many', `more than ${MAX_AT_ONCE} requests wait on this connection`, {
    hint: 'Read the answers first, or ask on another connection.',
    retryable: true,
  });
}

async function reply(route: Route, call: Call): Promise<void> {
  // Whoever waits for an answer hears nothing until then.
  const quiet = typeof route.answer !== 'string' && route.body !== 'bytes';
  if (quiet) call.request.socket.setTimeout(0);
  let answer: Reply | undefined;
  try {
    answer = await route.handle(call);
  } finally {
    // Whoever does not read his answer holds it.
    if (quiet) call.request.socket.setTimeout(IDLE_TIMEOUT_MS);
  }
  if (answer !== undefined && !call.response.headersSent) send(call.response, answer, 'application/json');
}

function addressOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? '';
}

function attempt<T>(what: () => T): { readonly value: T } | { readonly error: unknown } {
  try {
    return { value: what() };
  } catch (error) {
    return { error };
  }
}
