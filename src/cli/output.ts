/**
 * Where a command's words go: people read lines on stdout and errors on stderr, programs read one JSON
 * value a line on stdout and nothing else. On a terminal one line is kept for what is waited for.
 */
import { styleText } from 'node:util';
import { codeOf, type GantryError, messageOf } from '../errors.ts';
import type { AgentEvent } from '../events.ts';
import type { LogLevel } from './options.ts';
import { isBadNews, renderError, renderEvent, renderProgress } from './render.ts';

export interface OutputOptions {
  readonly json: boolean;
  readonly level: LogLevel;
  /** `many`: each line says which component it is about, and none is kept for what is waited for. */
  readonly components?: 'many';
}

export interface Output {
  event(event: AgentEvent): void;
  /** What was asked for: a value for programs, and its words for people. Told at every level. */
  document(value: unknown, words: string): void;
  /** How an action ended. */
  result(value: unknown, words: string): void;
  error(error: GantryError): void;
  /** What is waited for now; a terminal keeps it in one line. */
  progress(words: string): void;
  /** Removes the line of what is waited for. */
  end(): void;
}

/** A reader that went away, or a terminal that was closed: nobody is there to be told. */
const NOBODY_READS = new Set(['EPIPE', 'EIO', 'ERR_STREAM_DESTROYED']);

const ERASE_LINE = '\r\u001b[2K';
/** Of a terminal that does not tell. */
const COLUMNS = 80;
const LEAST_COLUMNS = 20;

/** In the words for what holds a drain. */
const AGE = /, the oldest for \d+ s/g;

/** The output that a command's options ask for. */
export function outputOf({
  json,
  logLevel,
}: {
  readonly json: boolean;
  readonly logLevel: LogLevel;
}): Output {
  return openOutput({ json, level: logLevel });
}

export function openOutput({ json, level, components }: OutputOptions): Output {
  return json ? jsonOutput(level) : humanOutput(level, components === 'many');
}

/**
 * Call once: output that cannot be written must not end a command that is changing something. Answers
 * whether any was lost (a full disk) that somebody would have read; that is told on stderr.
 */
export function watchStreams(): () => boolean {
  let lost = false;
  process.stderr.on('error', () => undefined); // nowhere left to tell it
  process.stdout.on('error', (error) => {
    if (lost || NOBODY_READS.has(codeOf(error))) return;
    lost = true;
    process.stderr.write(`Error: the output could not be written: ${messageOf(error)}\n`);
  });
  return () => lost;
}

function jsonOutput(level: LogLevel): Output {
  const write = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
  let waitedFor = '';
  /** A long drain would otherwise be a line a second, each telling only that time passes. */
  const isOnlyOlder = (event: AgentEvent) => {
    const before = waitedFor;
    waitedFor = event.kind === 'waiting' ? event.why.replace(AGE, '') : '';
    return waitedFor !== '' && waitedFor === before;
  };
  return {
    event(event) {
      if (!isOnlyOlder(event) && tells(level, event)) write(event);
    },
    document: write,
    result: write,
    error: ({ code, message, hint, retryable }) => write({ kind: 'error', code, message, hint, retryable }),
    progress() {},
    end() {},
  };
}

function humanOutput(level: LogLevel, many: boolean): Output {
  const debug = level === 'debug';
  const live = !many && process.stdout.isTTY === true && (debug || level === 'info');
  let shown = '';
  const clear = () => {
    if (shown !== '') process.stdout.write(ERASE_LINE);
    shown = '';
  };
  const line = (words: string) => {
    clear();
    process.stdout.write(`${words}\n`);
  };
  const progress = (words: string) => {
    const fitting = words.slice(0, Math.max(LEAST_COLUMNS, (process.stdout.columns || COLUMNS) - 1));
    if (!live || fitting === shown) return;
    clear();
    shown = fitting;
    process.stdout.write(styleText('dim', shown));
  };
  const toldOf = new Map<string, Set<string>>();
  return {
    event(event) {
      if (!tells(level, event)) return;
      const told = toldOf.get(event.component) ?? new Set();
      toldOf.set(event.component, told);
      if (event.kind === 'rollout-step') told.clear();
      const words = renderEvent(event, { debug, told });
      if (words !== undefined) line(many ? about(event.component, words) : words);
      const waiting = renderProgress(event);
      if (waiting !== undefined) progress(waiting);
    },
    document: (_, words) => line(words),
    result(_, words) {
      if (debug || level === 'info') line(words);
    },
    error(error) {
      clear();
      if (level !== 'silent') process.stderr.write(`${renderError(error, debug)}\n`);
    },
    progress,
    end: clear,
  };
}

/** As the first gantryd marked its lines. */
function about(component: string, words: string): string {
  return component === '' ? words : words.replace(/^/gm, `[${component}] `);
}

function tells(level: LogLevel, event: AgentEvent): boolean {
  return level === 'debug' || level === 'info' || (level === 'warn' && isBadNews(event));
}
