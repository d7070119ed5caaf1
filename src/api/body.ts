/**
 * The body of a request: read within its bounds of bytes and time, and parsed within those of depth and number, so that
 * nobody's body costs more than its size. Knows nothing of what the body should say.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { GantryError } from '../errors.ts';

export interface BodyBounds {
  readonly maxBytes: number;
  /** Longest time in which nothing comes. */
  readonly stallMs: number;
  /** Longest time for all of it. */
  readonly totalMs: number;
}

/** Of a body without an end that is known: whoever sends it may be slow, but not so slow. */
export interface UploadBounds {
  /** That come at least in every `everyMs`, but while whoever reads it is behind. */
  readonly minBytes: number;
  readonly everyMs: number;
}

export const UPLOAD: UploadBounds = { minBytes: 4_096, everyMs: 300_000 };
export const MAX_BODY_BYTES = 1024 * 1024;
export const STALL_MS = 10_000;
export const TOTAL_MS = 60_000;
const MAX_DEPTH = 64;
/** Objects, lists and values in them: each may become a problem that is told. */
const MAX_NODES = 60_000;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = [0x5b, 0x7b];
const CLOSING = [0x5d, 0x7d];

/** Whether the headers announce one, of no bytes too. */
export function hasBody({ 'content-length': length, 'transfer-encoding': coding }: IncomingHttpHeaders) {
  return coding !== undefined || (length !== undefined && Number(length) > 0);
}

/**
 * Throws too-large before anything is read that is announced so; too-large, too-slow or usage (cut off) later. `goOn`
 * is called in between, for a client that asks whether to send it.
 */
export async function readBody(
  request: IncomingMessage,
  bounds: BodyBounds,
  goOn: () => void,
): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > bounds.maxBytes) throw tooLarge(bounds);
  goOn();
  return new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let held = 0;
    const end = (error?: GantryError) => {
      clearTimeout(stall);
      clearTimeout(total);
      request.off('data', take).off('end', done).off('close', cut).off('error', cut);
      if (error === undefined) resolve(Buffer.concat(chunks));
      else reject(error);
    };
    const slow = () => end(tooSlow(bounds));
    const stall = setTimeout(slow, bounds.stallMs);
    const total = setTimeout(slow, bounds.totalMs);
    const take = (chunk: Buffer) => {
      held += chunk.length;
      if (held > bounds.maxBytes) return end(tooLarge(bounds));
      chunks.push(chunk);
      stall.refresh();
    };
    const done = () => end();
    const cut = () => end(new GantryError('usage', 'the body was cut off'));
    request.on('data', take).once('end', done).once('close', cut).once('error', cut);
  });
}

/** Calls `onSlow` with too-slow once it is. Answers what ends the watch; the end of the body does, too. */
export function watchUpload(
  request: IncomingMessage,
  { minBytes, everyMs }: UploadBounds,
  onSlow: (slow: GantryError) => void,
): () => void {
  const { socket } = request;
  let seen = socket.bytesRead;
  const timer = setInterval(() => {
    const isBehind = request.readableLength >= request.readableHighWaterMark;
    const came = socket.bytesRead - seen;
    seen = socket.bytesRead;
    if (request.complete) clearInterval(timer);
    else if (came < minBytes && !isBehind) onSlow(uploadTooSlow({ minBytes, everyMs }));
  }, everyMs);
  return () => clearInterval(timer);
}

function uploadTooSlow({ minBytes, everyMs }: UploadBounds): GantryError {
  const message = `the body came slower than ${minBytes} bytes in ${everyMs / 1000} s`;
  return new GantryError('too-slow', message, { retryable: true });
}

/** Throws media-type for anything that is not JSON as it is. */
export function refuseOtherThanJson(headers: IncomingHttpHeaders): void {
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  const coding = headers['content-encoding'] ?? 'identity';
  if (type.trim().toLowerCase() === 'application/json' && coding === 'identity') return;
  throw new GantryError('media-type', 'the body is to be JSON', {
    hint: 'Send it with Content-Type: application/json, and without Content-Encoding.',
  });
}

/** Throws usage for what is no JSON of ours. */
export function parseBody(bytes: Buffer): unknown {
  refuseDeep(bytes);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    // Not the parser's own words, which quote what was sent.
    throw new GantryError('usage', 'the body is no JSON in UTF-8', { cause });
  }
  refuseOdd(value);
  return value;
}

/** Before the parser has made objects of it. */
function refuseDeep(bytes: Buffer): void {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (quoted && byte === BACKSLASH) at++;
    else if (byte === QUOTE) quoted = !quoted;
    else if (!quoted && OPENING.includes(byte)) depth++;
    else if (!quoted && CLOSING.includes(byte)) depth--;
    if (depth > MAX_DEPTH)
      throw new GantryError('usage', `the body is nested more than ${MAX_DEPTH} levels deep`);
  }
}

function refuseOdd(root: unknown): void {
  const left: unknown[] = [root];
  let seen = 0;
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    if (Object.hasOwn(value, '__proto__'))
      throw new GantryError('usage', 'the body has a field __proto__, which nothing takes');
    const parts = Object.values(value);
    seen += parts.length;
    if (seen > MAX_NODES) throw new GantryError('too-large', `the body has more than ${MAX_NODES} values`);
    for (const part of parts) left.push(part);
  }
}

function tooLarge({ maxBytes }: BodyBounds): GantryError {
  return new GantryError('too-large', `the body is larger than ${maxBytes} bytes`);
}

function tooSlow({ stallMs, totalMs }: BodyBounds): GantryError {
  const message = `the body did not come: it may pause for ${stallMs / 1000} s, and take ${totalMs / 1000} s`;
  return new GantryError('too-slow', message, { retryable: true });
}
