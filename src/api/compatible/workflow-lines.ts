/**
 * The log of a run as the lines that the workflow engine told: of all steps, of stdout and stderr as they came, counted
 * from 0. A line counts once it is whole, so that a line has one number however often it is asked for.
 */
import type { LogEntry, ReadEntry } from '../../jobs/disk/run-log.ts';

/** Of an answer: who asks goes on behind them. */
export const MOST_LINES = 10_000;
const MOST_CHARACTERS = 4 * 1024 * 1024;
/** A line that is longer comes as several. */
const LONGEST_LINE = 64 * 1024;

/** From `index` on; of a negative one, the last so many. `isOver`: what has no end by now is a line too. */
export function linesFrom(
  log: AsyncIterable<ReadEntry>,
  index: number,
  isOver: boolean,
): Promise<readonly string[]> {
  const lines = linesOf(log, isOver);
  return index < 0 ? lastOf(lines, Math.min(-index, MOST_LINES)) : after(lines, index);
}

/** What is no number is 0. */
export function indexOf(text: unknown): number {
  return /^[+-]?\d{1,15}$/.test(String(text)) ? Number(text) : 0;
}

async function after(lines: AsyncIterable<string>, index: number): Promise<readonly string[]> {
  const found: string[] = [];
  let [at, characters] = [0, 0];
  for await (const line of lines) {
    if (at++ < index) continue;
    found.push(line);
    characters += line.length;
    if (found.length >= MOST_LINES || characters >= MOST_CHARACTERS) break;
  }
  return found;
}

async function lastOf(lines: AsyncIterable<string>, most: number): Promise<readonly string[]> {
  const found: string[] = [];
  let characters = 0;
  for await (const line of lines) {
    found.push(line);
    characters += line.length;
    while (found.length > most || characters > MOST_CHARACTERS) characters -= found.shift()?.length ?? 0;
  }
  return found;
}

async function* linesOf(
  log: AsyncIterable<ReadEntry>,
  isOver: boolean,
): AsyncGenerator<string, void, undefined> {
  /** By stream, what its last line has so far. */
  const begun = new Map<string, string>();
  let step = 0;
  for await (const { entry } of log) {
    if (entry.stream === 'gantryd') continue;
    if (entry.step !== step) yield* rest(begun);
    step = entry.step;
    const [last = '', ...whole] = `${begun.get(entry.stream) ?? ''}${textOf(entry)}`.split('\n').reverse();
    for (const line of whole.reverse()) yield line.replace(/\r$/, '');
    const isLong = last.length > LONGEST_LINE;
    if (isLong) yield last;
    begun.set(entry.stream, isLong ? '' : last);
  }
  if (isOver) yield* rest(begun);
}

/** Of a step that has ended. */
function* rest(begun: Map<string, string>): Generator<string, void, undefined> {
  for (const line of begun.values()) if (line !== '') yield line;
  begun.clear();
}

function textOf({ text, base64 = '' }: LogEntry): string {
  return text ?? Buffer.from(base64, 'base64').toString('utf8');
}
