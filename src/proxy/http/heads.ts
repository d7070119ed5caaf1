/**
 * The heads of requests and answers as text, for who writes them to a socket itself: which requests are carried that
 * way, and what both sides get to read. Pure. The rules are those of headers.ts.
 */

import type { MessageHead } from '../../llhttp.ts';
import {
  connectionListed,
  isResponseDropped,
  isTrailer,
  keepAliveMs,
  plainAddress,
  REQUEST_DROPPED,
  requestTarget,
} from './headers.ts';

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
  const { fields, method, target } = head;
  if (head.version !== HTTP_1_1 || !METHODS.has(method)) return undefined;
  const said: RequestSaid = { host: undefined, body: 'none', hasTrailers: false, close: false };
  let text = `${method} ${requestTarget(target)} HTTP/1.1\r\n`;
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (!isPlain(said, lower, value)) return undefined;
    if (!REQUEST_DROPPED.has(lower)) text += `${name}: ${value}\r\n`;
  }
  const { host, body, hasTrailers, close } = said;
  if (host === undefined) return undefined;
  text += `${forwarded}X-Forwarded-Host: ${host}\r\nConnection: keep-alive\r\n\r\n`;
  return { text, method, body, hasTrailers, close, replayable: body === 'none' && REPLAYABLE.has(method) };
}

/** What a head said so far. */
interface RequestSaid {
  host: string | undefined;
  body: PlainRequest['body'];
  hasTrailers: boolean;
  close: boolean;
}

/** Notes what the field says; false: something out of the ordinary. */
function isPlain(said: RequestSaid, name: string, value: string): boolean {
  switch (name) {
    case 'host': {
      const isFirst = said.host === undefined;
      said.host = value;
      return isFirst;
    }
    case 'connection': {
      const closes = isWord(value, 'close');
      said.close ||= closes;
      return closes || isWord(value, 'keep-alive');
    }
    case 'content-length':
      if (Number(value) !== 0) said.body = 'sized';
      return true;
    case 'transfer-encoding':
      said.body = 'chunked';
      return isWord(value, 'chunked');
    case 'trailer':
      said.hasTrailers = true;
      return true;
    default:
      return name !== 'upgrade' && name !== 'expect';
  }
}

function isWord(value: string, word: string): boolean {
  return value.length === word.length && value.toLowerCase() === word;
}

/** Its framing is left out, but for a length. */
export function plainAnswer({ status, reason, fields }: MessageHead): PlainAnswer {
  const listed = listedIn(fields);
  const said: AnswerSaid = {
    length: false,
    date: false,
    keepMs: Number.POSITIVE_INFINITY,
    type: '',
    coding: '',
  };
  let text = `HTTP/1.1 ${status} ${reason}\r\n`;
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'keep-alive') said.keepMs = keepAliveMs(value) ?? said.keepMs;
    // A length is kept even where Connection names it: it says where the answer ends.
    if (lower !== 'content-length' && isResponseDropped(lower, listed, status)) continue;
    hear(said, lower, value);
    text += `${name}: ${value}\r\n`;
  }
  const { length: hasLength, date: hasDate, keepMs, type, coding } = said;
  return { text, hasLength, hasDate, keepMs, eventStream: !hasLength && isEventStreamType(type, coding) };
}

interface AnswerSaid {
  length: boolean;
  date: boolean;
  keepMs: number;
  type: string;
  coding: string;
}

function hear(said: AnswerSaid, name: string, value: string): void {
  if (name === 'content-length') said.length = true;
  else if (name === 'date') said.date = true;
  else if (name === 'content-type') said.type = value;
  else if (name === 'content-encoding') said.coding = value;
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
  for (let at = 0; at + 1 < trailers.length; at += 2)
    if (isTrailer(trailers[at] ?? '')) text += `${trailers[at]}: ${trailers[at + 1]}\r\n`;
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
