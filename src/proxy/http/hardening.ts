/**
 * http-proxy 1.18.1 with its defects closed, and its only importer. It is given connections that
 * are already established, asked for one exchange at a time, and left with building the request
 * and copying the body; responses, upgrades, aborts and retries are handled by who calls.
 * Each defect closed here is a test in test/proxy/http/http-proxy-defects.test.ts.
 */
import {
  Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  ServerResponse,
} from 'node:http';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import util from 'node:util';
import type HttpProxy from 'http-proxy';
import { hasBody, passedTrailers, requestTarget, responseHeaders } from './headers.ts';

export const MAX_HEADER_BYTES = 64 * 1024;

/** What the caller wants to know of an exchange. `request` comes before a byte is sent. */
export interface ExchangeEvents {
  request(upstream: ClientRequest): void;
  failed(error: Error): void;
}

/** One exchange on an established connection: what is sent, instead of what the client wrote. */
export interface Outgoing {
  readonly socket: Socket;
  readonly headers: IncomingHttpHeaders;
}

type Prepare = (upstream: ClientRequest) => void;

/**
 * An agent that dials nothing and keeps nothing: the next request, created synchronously after
 * `prepare`, gets that connection. Choosing, dialling and keeping connections is ours.
 */
class HandOverAgent extends Agent {
  #next: { readonly socket: Socket; readonly prepare: Prepare } | undefined;

  prepare(socket: Socket, prepare: Prepare): void {
    this.#next = { socket, prepare };
  }

  /** Called by Node's ClientRequest as it is constructed. */
  addRequest(upstream: ClientRequest): void {
    const next = this.#next;
    if (next === undefined) throw new Error('a request without a connection prepared for it');
    this.#next = undefined;
    (upstream as { maxHeaderSize?: number }).maxHeaderSize = MAX_HEADER_BYTES;
    next.prepare(upstream);
    upstream.onSocket(next.socket);
  }
}

const proxy = createHardenedProxy();
const handOver = new HandOverAgent({ keepAlive: true });

/** Sends the request over the given connection. The body is read from now on, as fast as the backend takes it. */
export function forward(
  req: IncomingMessage,
  res: ServerResponse,
  out: Outgoing,
  events: ExchangeEvents,
): void {
  const url = req.url ?? '/';
  req.headers = out.headers;
  handOver.prepare(out.socket, (upstream) => {
    upstream.path = requestTarget(url);
    sendTrailers(req, upstream);
    events.request(upstream);
  });
  const body = hasBody(req) ? undefined : NO_BODY;
  proxy.web(req, res, { target: TARGET, agent: handOver, buffer: body }, events.failed);
}

/**
 * Sends an upgrade request over the given connection and joins both connections when the backend
 * agrees (`joined`). Another answer is relayed as an ordinary last response.
 */
export function forwardUpgrade(
  req: IncomingMessage,
  client: Socket,
  head: Buffer,
  out: Outgoing,
  events: ExchangeEvents & { joined(upstream: Duplex): void; refused(status: number): void },
): void {
  const url = req.url ?? '/';
  let created: ClientRequest | undefined;
  req.headers = out.headers;
  handOver.prepare(out.socket, (upstream) => {
    upstream.path = requestTarget(url);
    created = upstream;
    upstream.once('upgrade', (_res, socket) => events.joined(socket));
    events.request(upstream);
  });
  proxy.ws(req, client, head, { target: TARGET, agent: handOver }, events.failed);
  if (created !== undefined) relayRefusal(req, client, created, events);
}

/**
 * After the join: lets go of what http-proxy and Node keep of the request as long as the connections live, which is
 * more than the connections themselves. What the listeners did, `shareFate` does; what the pipes are for, a relay.
 */
export function forgetUpgrade(client: Socket, upstream: Socket): void {
  for (const socket of [client, upstream])
    for (const listener of socket.listeners('error') as ((error: Error) => void)[])
      if (HTTP_PROXY_LISTENERS.includes(listener.name)) socket.removeListener('error', listener);
  client.unpipe(upstream);
  upstream.unpipe(client);
  for (const listener of upstream.listeners('end') as (() => void)[])
    if (listener.name === '') upstream.removeListener('end', listener);
  (upstream as Socket & { _httpMessage?: unknown })._httpMessage = null;
}

/** Names of its functions in ws-incoming.js; the nameless one is the client's. */
const HTTP_PROXY_LISTENERS = ['onOutgoingError', ''];

/** Sends the backend's response to the client as it comes. Throws if its head cannot be said in HTTP. */
export function relay(from: IncomingMessage, res: ServerResponse, close: boolean): void {
  res.writeHead(from.statusCode ?? 502, from.statusMessage ?? '', responseHeaders(from, close));
  // Registered before the pipe's own listener, which ends the response.
  from.once('end', () => {
    if (from.rawTrailers.length > 0) res.addTrailers(passedTrailers(from.trailers));
  });
  from.pipe(res);
  process.nextTick(flushIfQuiet, from, res);
}

/** Interim answers (102, 103) that mean something to the client. 100 was answered by us already. */
export function relayInterim(status: number, headers: IncomingHttpHeaders, res: ServerResponse): void {
  if (res.headersSent || res.req.httpVersion === '1.0') return;
  if (status === 102) res.writeProcessing();
  if (status === 103 && headers.link !== undefined) res.writeEarlyHints({ link: headers.link });
}

const TARGET = { protocol: 'http:', host: '127.0.0.1', port: 80, path: '' };

/** Where http-proxy wants a stream to pipe from although there is no body: ends the request at once. */
const NO_BODY = { pipe: (upstream: ClientRequest) => upstream.end() } as unknown as Readable;

function createHardenedProxy(): HttpProxy {
  // http-proxy asks for util._extend as it loads, which warns on newer versions of Node.
  Object.defineProperty(util, '_extend', { value: Object.assign, configurable: true, writable: true });
  const library = createRequire(import.meta.url)('http-proxy') as typeof HttpProxy;
  // ignorePath: its own joining of paths would merge "//" into "/".
  const hardened = library.createProxyServer({ ignorePath: true, toProxy: true, selfHandleResponse: true });
  const passes = hardened as unknown as Record<'webPasses' | 'wsPasses', { name: string }[]>;
  // deleteLength strips transfer-encoding off DELETE and OPTIONS: their body becomes the next request.
  passes.webPasses = passes.webPasses.filter((pass) => pass.name !== 'deleteLength');
  // Its check lets pass nothing but websockets.
  passes.wsPasses = passes.wsPasses.filter((pass) => pass.name !== 'checkMethodAndHeader');
  return hardened;
}

/** Runs before http-proxy's pipe ends the upstream request. */
function sendTrailers(req: IncomingMessage, upstream: ClientRequest): void {
  if (req.headers.trailer === undefined) return;
  req.once('end', () => {
    if (req.rawTrailers.length > 0 && !upstream.destroyed) upstream.addTrailers(passedTrailers(req.trailers));
  });
}

/** In place of http-proxy's own, which writes the head with its transfer-encoding and the body decoded. */
function relayRefusal(
  req: IncomingMessage,
  client: Socket,
  upstream: ClientRequest,
  events: { refused(status: number): void },
): void {
  upstream.removeAllListeners('response');
  upstream.once('response', (from) => {
    events.refused(from.statusCode ?? 502);
    const res = new ServerResponse(req);
    res.assignSocket(client);
    // The http server has let go of this socket and with it of telling the response about it.
    client.on('drain', () => res.emit('drain'));
    res.once('finish', () => client.destroySoon());
    from.once('error', () => client.destroy());
    try {
      relay(from, res, true);
    } catch {
      client.destroy();
    }
  });
}

/** Sends the head without waiting for a body that takes its time (server-sent events). */
function flushIfQuiet(from: IncomingMessage, res: ServerResponse): void {
  if (!from.readableDidRead && !res.destroyed && !res.writableEnded) res.flushHeaders();
}
