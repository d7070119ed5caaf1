/**
 * The words for what a probe or a signal saw: one line for a person, never with raw control characters
 * from the container. Pure.
 */
import { codeOf, messageOf } from '../errors.ts';

/** A verdict without its when and who. */
export interface Seen {
  readonly ok: boolean;
  readonly saw: string;
  readonly status?: number;
  readonly inconclusive?: boolean;
}

export const GIVEN_UP: Seen = { ok: false, inconclusive: true, saw: 'given up before there was an answer' };

const EXCERPT_BYTES = 256;

/** `host:port`, IPv6 in brackets. */
export function authority(host: string, port: number): string {
  return `${hostInUrl(host)}:${port}`;
}

/** IPv6 in brackets. */
export function hostInUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** The first bytes, quoted, with control characters as escapes and `…` where it was cut; '' when there are none. */
export function excerpt(text: string | Buffer): string {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const cut = bytes.length > EXCERPT_BYTES;
  const head = bytes.subarray(0, EXCERPT_BYTES).toString('utf8');
  const whole = cut ? `${head.replace(/\uFFFD{1,3}$/, '')}…` : head.trimEnd();
  return whole === '' ? '' : visible(JSON.stringify(whole));
}

/** `: "first bytes"`, or nothing. */
export function withExcerpt(text: string | Buffer): string {
  const words = excerpt(text);
  return words === '' ? '' : `: ${words}`;
}

/** What a failed connection or request means. `asked` names the whole question, `place` is its host:port. */
export function trouble(error: unknown, asked: string, place: string, timeoutMs: number): string {
  const code = codeOf(error);
  if (code === 'ETIMEDOUT') return `no answer from ${asked} within ${timeoutMs} ms`;
  if (code === 'ECONNREFUSED') return `nothing listens on ${place} (connection refused)`;
  if (code === 'ECONNRESET' || code === 'EPIPE') return `${place} closed the connection without an answer`;
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return `there is no route to ${place}`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `the host name of ${place} is not known`;
  if (code.startsWith('HPE_')) return `${place} answered, but not with HTTP (${code})`;
  if (isTls(code)) return `TLS with ${place} failed: ${oneLine(messageOf(error))}`;
  return `${asked} could not be asked: ${oneLine(messageOf(error))}`;
}

/** How long an answer took is another each time. */
export function withoutTimes(saw: string): string {
  return saw.replace(/ in \d+ ms\b/, '');
}

export function oneLine(text: string): string {
  return visible(text.trim().replace(/\s+/g, ' '));
}

/** Node reports OpenSSL's verification results by their bare names, handshake failures as EPROTO or ERR_SSL_…. */
function isTls(code: string): boolean {
  return code === 'EPROTO' || /^ERR_(SSL|TLS)_|CERT|_ISSUER|_SIGNATURE|_CRL/.test(code);
}

/** Escapes what JSON leaves raw but a terminal or a log acts on: DEL, C1, line separators, bidi marks. */
function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point
  return text.replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
