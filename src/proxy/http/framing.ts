/** Parts of a body as they go over a connection, with what stands before and after them, in one write. */
import type { Socket } from 'node:net';
import { MOST_TEXT_BYTES } from '../tcp/read-memory.ts';

export const LAST_CHUNK = '0\r\n';
export const END_OF_HEAD = '\r\n';

/** Text is meant as latin1: one character for each byte, whatever the bytes mean. */
export type Framed = string | readonly (string | Buffer)[];

export interface Body {
  readonly bytes: Buffer;
  /** From and to of each part in the bytes, in turns. */
  readonly spans: readonly number[];
  readonly chunked: boolean;
  /** The bytes may be kept. */
  readonly owned: boolean;
}

export function framed(before: string, body: Body, after: string): Framed {
  const { spans } = body;
  const length = (spans.at(-1) ?? 0) - (spans[0] ?? 0);
  return length > MOST_TEXT_BYTES ? asParts(before, body, after) : asText(before, body, after);
}

/** false: it takes no more for now. */
export function writeFramed(to: Socket, data: Framed): boolean {
  if (typeof data === 'string') return data === '' || to.write(data, 'latin1') || to.writableLength === 0;
  to.cork();
  for (const part of data) typeof part === 'string' ? to.write(part, 'latin1') : to.write(part);
  to.uncork();
  // More than the socket would buffer, and yet nothing of it is left to be sent.
  return to.writableLength === 0 || !to.writableNeedDrain;
}

function asText(before: string, { bytes, spans, chunked }: Body, after: string): string {
  let text = before;
  for (let at = 0; at + 1 < spans.length; at += 2) {
    const from = spans[at] ?? 0;
    const to = spans[at + 1] ?? 0;
    const part = bytes.toString('latin1', from, to);
    text += chunked ? `${chunkHead(to - from)}${part}\r\n` : part;
  }
  return text + after;
}

function asParts(before: string, { bytes, spans, chunked, owned }: Body, after: string): (string | Buffer)[] {
  const parts: (string | Buffer)[] = [];
  let text = before;
  for (let at = 0; at + 1 < spans.length; at += 2) {
    const part = bytes.subarray(spans[at], spans[at + 1]);
    if (chunked) text += chunkHead(part.length);
    if (text !== '') parts.push(text);
    parts.push(owned ? part : Buffer.from(part));
    text = chunked ? '\r\n' : '';
  }
  text += after;
  if (text !== '') parts.push(text);
  return parts;
}

function chunkHead(length: number): string {
  return `${length.toString(16)}\r\n`;
}
