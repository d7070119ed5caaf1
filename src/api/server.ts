/**
 * The HTTP server of an agent: who shows the token is sent to the route that matches, everybody else away. Knows
 * nothing of what the routes do. Plain HTTP: it is for the network of the fleet.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { GantryError, isGantryError, messageOf } from '../errors.ts';
import { errorBody } from './wire.ts';

/** Beyond them connections are refused. */
const MAX_CONNECTIONS = 512;
const HEADERS_TIMEOUT_MS = 10_000;
/** A connection on which nothing moves, in either direction. */
const IDLE_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 5_000;

export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** What `:name` in the path stands for, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Aborted when the caller went away, or the server closes. */
  readonly signal: AbortSignal;
}

export interface Route {
  readonly method: string;
  /** As `/v1/runs/:run/log`. */
  readonly path: string;
  /** A GantryError becomes the answer, or cuts it when it has begun. */
  readonly handle: (call: Call) => Promise<void>;
}

export interface ApiOptions {
  readonly address: string;
  /** 0: any. */
  readonly port: number;
  readonly token: string;
  readonly routes: readonly Route[];
}

export interface Api {
  readonly port: number;
  /** Cuts what is open. Idempotent. */
  close(): Promise<void>;
}

/** Throws port-taken when it cannot listen there. */
export async function openApi(options: ApiOptions): Promise<Api> {
  const closing = new AbortController();
  const server = createServer((request, response) => void answer(options, request, response, closing.signal));
  server.maxConnections = MAX_CONNECTIONS;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = 0; // an upload takes as long as it moves
  server.timeout = IDLE_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await listening(server, options);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : options.port,
    close: () => {
      closing.abort();
      return closed(server);
    },
  };
}

function listening(server: Server, { address, port }: ApiOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    // Later ones are of connections that could not be accepted, and end nothing.
    server.on('error', (error) =>
      reject(
        new GantryError('port-taken', `the API cannot listen on ${address}:${port}: ${messageOf(error)}`, {
          hint: 'Give it another address with --api-address, or another port with --api-port.',
          cause: error,
        }),
      ),
    );
    server.listen(port, address, resolve);
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function answer(
  { token, routes }: ApiOptions,
  request: IncomingMessage,
  response: ServerResponse,
  closing: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  request.on('error', () => gone.abort());
  response.on('error', () => gone.abort());
  try {
    if (!hasToken(request, token)) return refuse(response);
    const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://agent');
    const found = routeFor(routes, request.method ?? '', pathname);
    if ('status' in found) return send(response, found.status, found.error);
    const signal = AbortSignal.any([gone.signal, closing]);
    await found.route.handle({ request, response, query, signal, params: found.params });
  } catch (error) {
    if (!gone.signal.aborted) fail(response, error);
  }
}

/** Hashed first, so that neither content nor length shows in the time it takes. */
function hasToken({ headers }: IncomingMessage, token: string): boolean {
  const shown = /^Bearer (\S{1,1024})$/.exec(headers.authorization ?? '')?.[1] ?? '';
  return timingSafeEqual(sha256(shown), sha256(token));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function refuse(response: ServerResponse): void {
  response.setHeader('www-authenticate', 'Bearer');
  const error = new GantryError('output-gone', 'the token is not the one of this agent', {
    hint: 'It is made anew with every start of the agent; its key in etcd has the present one.',
    retryable: true,
  });
  send(response, 401, error);
}

type Found =
  | { readonly route: Route; readonly params: Readonly<Record<string, string>> }
  | { readonly status: 404 | 405; readonly error: GantryError };

function routeFor(routes: readonly Route[], method: string, path: string): Found {
  let known = false;
  for (const route of routes) {
    const params = matched(route.path.split('/'), path.split('/'));
    if (params !== undefined && route.method === method) return { route, params };
    known ||= params !== undefined;
  }
  const message = known ? `${method} is not for ${path}` : `there is nothing at ${path}`;
  return { status: known ? 405 : 404, error: new GantryError('usage', message) };
}

function matched(
  pattern: readonly string[],
  path: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (pattern.length !== path.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const word = decoded(path[index] ?? '');
    if (part.startsWith(':') && word) params[part.slice(1)] = word;
    else if (part !== word) return undefined;
  }
  return params;
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/** What had begun is cut, so that nobody takes it for complete. */
function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const known = isGantryError(error)
    ? error
    : new GantryError('internal', `Unexpected: ${messageOf(error)}`, { cause: error });
  send(response, statusOf(known), known);
}

function statusOf({ code, retryable }: GantryError): number {
  if (code === 'usage') return 400;
  if (code === 'run-unknown' || code === 'output-gone') return retryable ? 503 : 404;
  return retryable ? 503 : 500;
}

/** What the caller still sends is not read: the connection ends with the answer. */
function send(response: ServerResponse, status: number, error: GantryError): void {
  const body = JSON.stringify(errorBody(error));
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  response.end(body);
}
