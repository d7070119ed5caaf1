/**
 * Where a command's words go: people read lines on stdout and errors on stderr, programs read one JSON
 * value a line on stdout and nothing else. On a terminal one line is kept for what is waited for.
 */
import { styleText } from 'node:util';
import type { GantryError } from '../errors.ts';
import type { AgentEvent } from '../events.ts';
import { renderError, renderEvent, renderProgress } from './render.ts';

export interface OutputOptions {
  readonly json: boolean;
  /** Tell more, and whole errors. */
  readonly debug?: boolean;
  /** Tell only errors. */
  readonly quiet?: boolean;
}

export interface Output {
  event(event: AgentEvent): void;
  /** A document for programs, and its words for people. */
  document(value: unknown, words: string): void;
  line(words: string): void;
  error(error: GantryError): void;
  /** Removes the line of what is waited for. */
  end(): void;
}

export function openOutput({ json, debug = false, quiet = false }: OutputOptions): Output {
  return json ? jsonOutput() : humanOutput(debug, quiet);
}

function jsonOutput(): Output {
  const write = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
  return {
    event: write,
    document: write,
    line() {},
    error: ({ code, message, hint, retryable }) => write({ kind: 'error', code, message, hint, retryable }),
    end() {},
  };
}

function humanOutput(debug: boolean, quiet: boolean): Output {
  const live = process.stdout.isTTY === true;
  let shown = '';
  const clear = () => {
    if (shown !== '') process.stdout.write('\r\u001b[2K');
    shown = '';
  };
  const line = (words: string) => {
    clear();
    if (!quiet) process.stdout.write(`${words}\n`);
  };
  const progress = (words: string) => {
    if (!live || quiet || words === shown) return;
    clear();
    shown = words.slice(0, Math.max(20, (process.stdout.columns ?? 80) - 1));
    process.stdout.write(styleText('dim', shown));
  };
  const told = new Set<string>();
  return {
    event(event) {
      const words = renderEvent(event, { debug, told });
      if (words !== undefined) line(words);
      const waiting = renderProgress(event);
      if (waiting !== undefined) progress(waiting);
    },
    document: (_, words) => line(words),
    line,
    error(error) {
      clear();
      process.stderr.write(`${renderError(error, debug)}\n`);
    },
    end: clear,
  };
}
