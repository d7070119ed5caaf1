/**
 * Where a command's words go: people read lines on stdout and errors on stderr, programs read one JSON
 * value a line on stdout and nothing else. On a terminal one line is kept for what is waited for.
 */
import { styleText } from 'node:util';
import type { GantryError } from '../errors.ts';
import type { AgentEvent } from '../events.ts';
import type { LogLevel } from './options.ts';
import { isBadNews, renderError, renderEvent, renderProgress } from './render.ts';
import type { Streams } from './streams.ts';

export interface OutputOptions {
  readonly json: boolean;
  readonly level: LogLevel;
  /** `many`: each line says which component it is about, and none is kept for what is waited for. */
  readonly components?: 'many';
  /** Absent: those of this process. */
  readonly streams?: Streams;
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

export function openOutput({ json, level, components, streams = process }: OutputOptions): Output {
  return json ? jsonOutput(level, streams) : humanOutput(level, components === 'many', streams);
}

function jsonOutput(level: LogLevel, { stdout }: Streams): Output {
  const write = (value: unknown) => stdout.write(`${JSON.stringify(value)}\n`);
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

function humanOutput(level: LogLevel, many: boolean, { stdout, stderr }: Streams): Output {
  const terminal = stdout === process.stdout ? process.stdout : undefined;
  const debug = level === 'debug';
  const live = !many && terminal?.isTTY === true && (debug || level === 'info');
  let shown = '';
  const clear = () => {
    if (shown !== '') stdout.write(ERASE_LINE);
    shown = '';
  };
  const line = (words: string) => {
    clear();
    stdout.write(`${words}\n`);
  };
  const progress = (words: string) => {
    const fitting = words.slice(0, Math.max(LEAST_COLUMNS, (terminal?.columns || COLUMNS) - 1));
    if (!live || fitting === shown) return;
    clear();
    shown = fitting;
    stdout.write(styleText('dim', shown));
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
      if (level !== 'silent') stderr.write(`${renderError(error, debug)}\n`);
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
