/**
 * The heads of requests and answers as text, for who writes them to a socket itself: which requests are carried that
 * way, and what both sides get to read. Pure. The rules are those of headers.ts.
 */
import {
  connectionListed,
  isResponseDropped,
  keepAliveMs,
  plainAddress,
  REQUEST_DROPPED,
  requestTarget,
} from './headers.ts';
import type { MessageHead } from './llhttp.ts';

/** A request as its backend gets it. */
export interface PlainRequest {
  readonly text: string;
  readonly method: string;
  readonly body: 'none' | 'sized' | 'chunked';
  /** Its trailers are announced, and go along. */
  readonly hasTrailers: boolean;
  /** Safe to send twice (RFC 9110, section 9.2.1). */
  readonly replayable: boolean;
  /** The client wants its connection closed after the answer. */
  readonly close: boolean;
}

/** An answer as the client gets it, but for how its body is delimited and what becomes of the connection. */
export interface PlainAnswer {
  readonly text: string;
  readonly hasLength: boolean;
  readonly hasDate: boolean;
  /** How long the backend promises to keep the connection. */
  readonly keepMs: number;
  readonly eventStream: boolean;
}

const METHODS = new Set(['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE']);
const REPLAYABLE = new Set(['GET', 'HEAD', 'OPTIONS']);
const HTTP_1_1 = 11;

/** Who the client is, is what its socket says. */
export function forwardedFor(address: string | undefined, port: number | undefined): string {
  return `X-Forwarded-For: ${plainAddress(address ?? '')}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: ${port ?? ''}\r\n`;
}

/** undefined: it asks for something out of the ordinary (an upgrade, a tunnel, to be told to go on, HTTP/1.0). */
export function plainRequest(head: MessageHead, forwarded: string): PlainRequest | undefined {
  const { fields, method } = head;
  if (head.version !== HTTP_1_1 || !METHODS.has(method)) return undefined;
  let text = `${method} ${requestTarget(head.target)} HTTP/1.1\r\n`;
  let host: string | undefined;
  let body: PlainRequest['body'] = 'none';
  let hasTrailers = false;
  let close = false;
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'host') {
      if (host !== undefined) return undefined;
      host = value;
    } else if (lower === 'connection') {
      const wanted = value.toLowerCase();
      if (wanted !== 'close' && wanted !== 'keep-alive') return undefined;
      close = wanted === 'close';
    } else if (lower === 'upgrade' || lower === 'expect') return undefined;
    else if (lower === 'content-length') body = Number(value) === 0 ? body : 'sized';
    else if (lower === 'transfer-encoding') {
      if (value.toLowerCase() !== 'chunked') return undefined;
      body = 'chunked';
    } else if (lower === 'trailer') hasTrailers = true;
    if (!REQUEST_DROPPED.has(lower)) text += `${name}: ${value}\r\n`;
  }
  if (host === undefined) return undefined;
  text += `${forwarded}X-Forwarded-Host: ${host}\r\nConnection: keep-alive\r\n\r\n`;
  return { text, method, body, hasTrailers, close, replayable: body === 'none' && REPLAYABLE.has(method) };
}

/** Its framing is left out, but for a length. */
export function plainAnswer({ status, reason, fields }: MessageHead): PlainAnswer {
  let text = `HTTP/1.1 ${status} ${reason}\r\n`;
  const listed = listedIn(fields);
  let hasLength = false;
  let hasDate = false;
  let keepMs = Number.POSITIVE_INFINITY;
  let type = '';
  let encoding = '';
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'content-length') hasLength = true;
    else if (lower === 'keep-alive') keepMs = keepAliveMs(value) ?? keepMs;
    else if (isResponseDropped(lower, listed, status)) continue;
    else if (lower === 'date') hasDate = true;
    else if (lower === 'content-type') type = value;
    else if (lower === 'content-encoding') encoding = value;
    if (lower !== 'keep-alive') text += `${name}: ${value}\r\n`;
  }
  return { text, hasLength, hasDate, keepMs, eventStream: !hasLength && isEventStreamType(type, encoding) };
}

/** What the answer says of it, put in words; '' for those that mean nothing to the client. 100 was ours to say. */
export function interimText({ status, fields }: MessageHead): string {
  if (status === 102) return 'HTTP/1.1 102 Processing\r\n\r\n';
  if (status !== 103) return '';
  const links = fields.filter((_, at) => at % 2 === 1 && fields[at - 1]?.toLowerCase() === 'link');
  return links.length === 0 ? '' : `HTTP/1.1 103 Early Hints\r\nLink: ${links.join(', ')}\r\n\r\n`;
}

export function trailerText(trailers: readonly string[]): string {
  let text = '';
  for (let at = 0; at + 1 < trailers.length; at += 2) text += `${trailers[at]}: ${trailers[at + 1]}\r\n`;
  return text;
}

/** Names that the Connection header makes a matter of this hop alone. */
function listedIn(fields: readonly string[]): Set<string> | undefined {
  let listed: Set<string> | undefined;
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] ?? '';
    if (name.length !== 'connection'.length || name.toLowerCase() !== 'connection') continue;
    const more = connectionListed(fields[at + 1]);
    if (more !== undefined) listed = new Set([...(listed ?? []), ...more]);
  }
  return listed;
}

function isEventStreamType(type: string, encoding: string): boolean {
  if (type === '' || (encoding !== '' && encoding !== 'identity')) return false;
  return (type.split(';', 1)[0] ?? '').trim().toLowerCase() === 'text/event-stream';
}
