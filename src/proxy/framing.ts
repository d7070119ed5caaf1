/** Parts of a body as they go over a connection, with what stands before and after them, ready for one write. Pure. */

/** A short text is written faster than bytes, which would have to be copied first. */
const MOST_TEXT_BYTES = 16 * 1024;

export const LAST_CHUNK = '0\r\n';
export const END_OF_HEAD = '\r\n';

/**
 * `spans`: from and to of each part in `bytes`, in turns. Text is meant as latin1. The bytes are copied: whose they are
 * may use them again.
 */
export function framed(
  before: string,
  bytes: Buffer,
  spans: readonly number[],
  chunked: boolean,
  after: string,
): string | Buffer {
  const length = (spans.at(-1) ?? 0) - (spans[0] ?? 0);
  return length > MOST_TEXT_BYTES
    ? asBytes(before, bytes, spans, chunked, after)
    : asText(before, bytes, spans, chunked, after);
}

function asText(
  before: string,
  bytes: Buffer,
  spans: readonly number[],
  chunked: boolean,
  after: string,
): string {
  let text = before;
  for (let at = 0; at + 1 < spans.length; at += 2) {
    const [from = 0, to = 0] = [spans[at], spans[at + 1]];
    const part = bytes.toString('latin1', from, to);
    text += chunked ? `${chunkHead(to - from)}${part}\r\n` : part;
  }
  return text + after;
}

function asBytes(
  before: string,
  bytes: Buffer,
  spans: readonly number[],
  chunked: boolean,
  after: string,
): Buffer {
  const parts: Buffer[] = [Buffer.from(before, 'latin1')];
  for (let at = 0; at + 1 < spans.length; at += 2) {
    const [from = 0, to = 0] = [spans[at], spans[at + 1]];
    if (chunked) parts.push(Buffer.from(chunkHead(to - from), 'latin1'));
    parts.push(bytes.subarray(from, to));
    if (chunked) parts.push(Buffer.from('\r\n', 'latin1'));
  }
  parts.push(Buffer.from(after, 'latin1'));
  return Buffer.concat(parts);
}

function chunkHead(length: number): string {
  return `${length.toString(16)}\r\n`;
}
