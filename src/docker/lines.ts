/**
 * Output as text within bounds: the last lines of a log, the beginning of a command's output, and
 * the lines of the engine's own JSON streams, which it cuts into chunks wherever it likes.
 */
import type { Piece } from './demux.ts';

export const LINE_BYTES = 64 * 1024;
export const TAIL_BYTES = 1024 * 1024;

/** The last `count` lines in the order in which they ended. Longer lines are cut at LINE_BYTES. */
export class Tail {
  readonly #count: number;
  readonly #open = { stdout: new OpenLine(), stderr: new OpenLine() };
  readonly #lines: string[] = [];
  #size = 0;

  constructor(count: number) {
    this.#count = count;
  }

  add({ source, bytes }: Piece): void {
    const open = this.#open[source];
    let from = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
      open.add(bytes.subarray(from, end));
      this.#keep(open.take());
      from = end + 1;
    }
    open.add(bytes.subarray(from));
  }

  /** Takes what has not ended with a line end, too. */
  lines(): readonly string[] {
    for (const open of [this.#open.stdout, this.#open.stderr]) if (!open.empty) this.#keep(open.take());
    return this.#lines;
  }

  #keep(line: string): void {
    this.#lines.push(line);
    this.#size += line.length;
    while (this.#lines.length > this.#count || (this.#size > TAIL_BYTES && this.#lines.length > 1)) {
      this.#size -= this.#lines.shift()?.length ?? 0;
    }
  }
}

/** The first `limit` bytes of what is added. */
export class Head {
  readonly #limit: number;
  readonly #parts: Buffer[] = [];
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(bytes: Buffer): void {
    const kept = bytes.subarray(0, this.#limit - this.#size);
    if (kept.length === 0) return;
    this.#size += kept.length;
    // A copy: a slice would keep the whole chunk it came with in memory.
    this.#parts.push(Buffer.from(kept));
  }

  get size(): number {
    return this.#size;
  }

  text(): string {
    return Buffer.concat(this.#parts).toString('utf8');
  }
}

const MESSAGE_CHARS = 1024 * 1024;

/** Lines without their ends, as they come. Fails when one grows beyond MESSAGE_CHARS. */
export async function* linesOf(stream: AsyncIterable<Buffer | string>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let open = '';
  for await (const chunk of stream) {
    open += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = open.split('\n');
    open = lines.pop() ?? '';
    if (open.length > MESSAGE_CHARS) throw new Error('the engine sent a line without end');
    yield* lines;
  }
  if (open !== '') yield open;
}

class OpenLine {
  #head = new Head(LINE_BYTES);

  get empty(): boolean {
    return this.#head.size === 0;
  }

  add(bytes: Buffer): void {
    this.#head.add(bytes);
  }

  take(): string {
    const line = this.#head.text();
    this.#head = new Head(LINE_BYTES);
    return line.endsWith('\r') ? line.slice(0, -1) : line;
  }
}
