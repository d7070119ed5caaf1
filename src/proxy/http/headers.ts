/**
 * Which headers cross the proxy (RFC 9110, section 7.6.1) and which it sets itself. Pure.
 * transfer-encoding and content-length of a request are never touched: they say where the
 * request ends, and a proxy that disagrees with the backend about that can be made to smuggle.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

export const REQUEST_DROPPED = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'upgrade',
  'http2-settings',
  'expect',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
]);

const RESPONSE_DROPPED = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

const FRAMING = new Set(['transfer-encoding', 'content-length', 'host']);

/** The request's headers as the backend gets them. Who the client is, is what the socket says. */
export function requestHeaders(req: IncomingMessage): IncomingHttpHeaders {
  const from = req.headers;
  const listed = connectionListed(from.connection);
  const headers: IncomingHttpHeaders = {};
  for (const name in from) {
    if (REQUEST_DROPPED.has(name) || (listed?.has(name) && !FRAMING.has(name))) continue;
    headers[name] = from[name];
  }
  headers['x-forwarded-for'] = plainAddress(req.socket.remoteAddress ?? '');
  headers['x-forwarded-proto'] = 'http';
  headers['x-forwarded-port'] = String(req.socket.localPort ?? '');
  if (from.host !== undefined) headers['x-forwarded-host'] = from.host;
  return headers;
}

/** As requestHeaders, asking the backend for the same upgrade. */
export function upgradeHeaders(req: IncomingMessage): IncomingHttpHeaders {
  return { ...requestHeaders(req), connection: 'Upgrade', upgrade: req.headers.upgrade };
}

/** The response's raw headers as the client gets them; `close` tells the client to come on a new connection. */
export function responseHeaders(res: IncomingMessage, close: boolean): string[] {
  const raw = res.rawHeaders;
  const listed = connectionListed(res.headers.connection);
  const chunked = res.headers['transfer-encoding'] !== undefined;
  const headers: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'content-length' ? chunked : isResponseDropped(lower, listed, res.statusCode)) continue;
    headers.push(name, raw[at + 1] ?? '');
  }
  if (close) headers.push('Connection', 'close');
  return headers;
}

/** The path and query to ask the backend for, whatever form the client wrote it in. */
export function requestTarget(url: string): string {
  if (url.startsWith('/') || url === '*') return url;
  const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(url);
  if (origin === null) return url;
  const rest = url.slice(origin[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** How long a backend promises to keep an idle connection, from its Keep-Alive header. */
export function keepAliveHintMs(res: IncomingMessage): number | undefined {
  const hint = res.headers['keep-alive'];
  return typeof hint === 'string' ? keepAliveMs(hint) : undefined;
}

/** The same from the header's value. */
export function keepAliveMs(hint: string): number | undefined {
  const timeout = /(?:^|[,\s])timeout=(\d{1,6})/i.exec(hint);
  return timeout === null ? undefined : Number(timeout[1]) * 1_000;
}

export function hasBody(req: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = req.headers;
  return encoding !== undefined || (length !== undefined && Number(length) !== 0);
}

/** Safe to send twice: reads only and has nothing to lose on the way (RFC 9110, section 9.2.1). */
export function isReplayable(req: IncomingMessage): boolean {
  const { method } = req;
  return (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') && !hasBody(req);
}

export function isResponseDropped(
  name: string,
  listed: Set<string> | undefined,
  status: number | undefined,
): boolean {
  if (name === 'upgrade') return status !== 426;
  return RESPONSE_DROPPED.has(name) || (listed?.has(name) ?? false);
}

/** Not what only a head may say (RFC 9110, section 6.5.1): somebody behind us may take them for parts of one. */
export function isTrailer(name: string): boolean {
  const lower = name.toLowerCase();
  return !REQUEST_DROPPED.has(lower) && !FRAMING.has(lower);
}

/** Those of them that go along, in Node's form. */
export function passedTrailers(trailers: NodeJS.Dict<string>): NodeJS.Dict<string> {
  return Object.fromEntries(Object.entries(trailers).filter(([name]) => isTrailer(name)));
}

export function connectionListed(connection: string | undefined): Set<string> | undefined {
  if (connection === undefined || /^(keep-alive|close)$/i.test(connection)) return undefined;
  return new Set(connection.split(',').map((name) => name.trim().toLowerCase()));
}

export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}
