/**
 * Of what a step prints, the lines that stand between a line that is exactly `begin` and one that is exactly `end`,
 * as often as there are such. Works on bytes as they come, whatever the length of a line: what is held back is never
 * more than a marker is long. Pure.
 */
import type { Delimiters } from '../../config/job.ts';

const NEWLINE = 0x0a;
const NEWLINE_BYTE = Buffer.from('\n');

interface Marker {
  readonly bytes: Buffer;
  /** As it stands in the middle of a text: after the end of the line before it. */
  readonly inText: Buffer;
}

export class DelimiterFilter {
  readonly #begin: Marker;
  readonly #end: Marker;
  #inside = false;
  /** How many bytes of the marker the line has begun with; undefined: it is another line. */
  #matched: number | undefined = 0;

  constructor({ begin, end }: Delimiters) {
    this.#begin = marker(begin);
    this.#end = marker(end);
  }

  /** What is output of all that is certain now. */
  take(chunk: Buffer): readonly Buffer[] {
    const out: Buffer[] = [];
    for (let at = 0; at < chunk.length; ) {
      at = this.#matched === undefined ? this.#restOfLine(chunk, at, out) : this.#match(chunk, at, out);
    }
    return out;
  }

  /** The last line, when it has no end. It may be a marker as well. */
  finish(): readonly Buffer[] {
    const matched = this.#matched ?? 0;
    const held = this.#sought.bytes.subarray(0, matched);
    const isMarker = matched === this.#sought.bytes.length;
    this.#matched = 0;
    return this.#inside && !isMarker && matched > 0 ? [held] : [];
  }

  get #sought(): Marker {
    return this.#inside ? this.#end : this.#begin;
  }

  /** Goes on comparing the line with the marker. */
  #match(chunk: Buffer, from: number, out: Buffer[]): number {
    const { bytes } = this.#sought;
    const before = this.#matched ?? 0;
    let at = from;
    let matched = before;
    while (at < chunk.length && matched < bytes.length && chunk[at] === bytes[matched]) {
      at++;
      matched++;
    }
    this.#matched = matched;
    if (at === chunk.length) return at;
    if (matched === bytes.length && chunk[at] === NEWLINE) {
      this.#inside = !this.#inside;
      this.#matched = 0;
      return at + 1;
    }
    if (this.#inside && before > 0) out.push(bytes.subarray(0, before));
    this.#matched = undefined;
    return from;
  }

  /** On to where a line begins as the marker does, which is looked for as bytes and not line by line. */
  #restOfLine(chunk: Buffer, from: number, out: Buffer[]): number {
    const found = chunk.indexOf(this.#sought.inText, from);
    const line = found !== -1 ? found + 1 : this.#lineAtTheEnd(chunk, from);
    if (this.#inside && line > from) out.push(chunk.subarray(from, line));
    if (found !== -1 || chunk[line - 1] === NEWLINE) this.#matched = 0;
    return line;
  }

  /** Where the last lines of a chunk begin of which one may become the marker; its end: none does. */
  #lineAtTheEnd(chunk: Buffer, from: number): number {
    const { bytes } = this.#sought;
    const first = Math.max(from, chunk.length - bytes.length - 1);
    for (let at = chunk.indexOf(NEWLINE_BYTE, first); at !== -1; at = chunk.indexOf(NEWLINE_BYTE, at + 1)) {
      const line = chunk.subarray(at + 1);
      if (line.equals(bytes.subarray(0, line.length))) return at + 1;
    }
    return chunk.length;
  }
}

function marker(text: string): Marker {
  const bytes = Buffer.from(text);
  return { bytes, inText: Buffer.concat([NEWLINE_BYTE, bytes]) };
}
