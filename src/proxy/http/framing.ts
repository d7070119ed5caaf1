/** Parts of a body as they go over a connection, with what stands before and after them, in one write. */
import type { Outlet } from '../tcp/outlet.ts';
import { type Memory, MOST_TEXT_BYTES } from '../tcp/read-memory.ts';

export const LAST_CHUNK = '0\r\n';
export const END_OF_HEAD = '\r\n';

/** Text is meant as latin1: one character for each byte, whatever the bytes mean. */
export type Framed = string | readonly (string | Buffer)[];

export interface Body {
  readonly bytes: Buffer;
  /** From and to of each part in the bytes, in turns. */
  readonly spans: readonly number[];
  readonly chunked: boolean;
  /** The bytes may be kept as long as their memory is. */
  readonly owned: boolean;
}

export function framed(before: string, body: Body, after: string): Framed {
  const { spans } = body;
  const length = (spans.at(-1) ?? 0) - (spans[0] ?? 0);
  return length > MOST_TEXT_BYTES ? asParts(before, body, after) : asText(before, body, after);
}

/** `memory`: what its bytes are in, unless they are a copy. false: it takes no more for now. */
export function writeFramed(to: Outlet, data: Framed, memory: Memory | undefined): boolean {
  if (typeof data !== 'string') return to.parts(data, memory);
  return data === '' || to.text(data);
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
