/**
 * Where the events of a stream of server-sent events end (WHATWG HTML, section 9.2.5): at a blank line. Lines end
 * with CR, LF or both.
 */
import type { IncomingMessage } from 'node:http';
import type { Boundaries } from './stoppable.ts';

const LF = 0x0a;
const CR = 0x0d;

export class EventBoundaries implements Boundaries {
  atBoundary = true;
  #lineIsEmpty = true;
  #afterCr = false;
  /** A CR alone ends no line where an LF is to follow. */
  #pairs = false;
  #blank = true;

  advance(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length) {
      this.#byte(chunk[at++] ?? 0);
      if (this.atBoundary) return at;
    }
    return at;
  }

  #byte(byte: number): void {
    const isSecond = byte === LF && this.#afterCr;
    this.#afterCr = byte === CR;
    if (isSecond) {
      this.#pairs = true;
      this.atBoundary = this.#blank;
    } else if (byte === LF || byte === CR) {
      this.#blank = this.#lineIsEmpty;
      this.#lineIsEmpty = true;
      this.atBoundary = this.#blank && !(byte === CR && this.#pairs);
    } else {
      this.#lineIsEmpty = false;
      this.atBoundary = false;
    }
  }
}

/** Whether its end may come early and the client still sees a whole response of whole events. */
export function isEventStream({ headers }: IncomingMessage): boolean {
  const type = (headers['content-type'] ?? '').split(';', 1)[0] ?? '';
  const isPlain = headers['content-encoding'] === undefined || headers['content-encoding'] === 'identity';
  const isOpen = headers['content-length'] === undefined || headers['transfer-encoding'] !== undefined;
  return type.trim().toLowerCase() === 'text/event-stream' && isPlain && isOpen;
}
