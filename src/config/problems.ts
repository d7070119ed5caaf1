/**
 * From "something is wrong at this path" to a Problem with pointer, value, line and column, and to the
 * lines an operator reads. Pure.
 */
import type { Problem } from './project.ts';

export type Path = readonly (string | number)[];

/** What the schema, a rule or an override found. Value and place are looked up by `toProblem`. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** Point at the name of the field rather than at its value. */
  readonly at?: 'key';
  /** Where in the text, when that is known better than by the path. */
  readonly offset?: number;
  readonly override?: string;
  /** The fault is not in the value that stands at the path. */
  readonly hideValue?: true;
}

/** A text that was read: its value and where everything stands in it. */
export interface Source {
  readonly text: string;
  readonly value: unknown;
  /** What the reader itself found wrong although a value came out, as duplicate fields. */
  readonly findings: readonly Finding[];
  /** Offset of the value (or field name) at the path, or of the deepest thing around it. */
  offsetOf(path: Path, at: 'key' | 'value'): number | undefined;
}

/** Longest value shown in a problem. */
const MAX_VALUE = 60;
/** Longest pointer or line of a message shown. */
const MAX_PART = 400;
/** How much of a long line an excerpt shows to each side. */
const EXCERPT_SIDE = 40;

export function pointerOf(path: Path): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

export function pathOf(pointer: string): readonly string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at the path, undefined when there is none. Never looks at prototypes. */
export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

/** The value as JSON, shortened. */
export function shorten(value: unknown): string {
  const text = json(value);
  return text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE - 1)}…`;
}

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** 1-based line and column of an offset. Lines end in LF; a CR before it counts to the line. */
export function placeOf(text: string, offset: number): Place {
  const before = text.slice(0, offset);
  const start = before.lastIndexOf('\n') + 1;
  let line = 1;
  for (let i = before.indexOf('\n'); i !== -1; i = before.indexOf('\n', i + 1)) line++;
  return { line, column: offset - start + 1 };
}

/** The line of the offset and, below it, a mark at the place; both indented. */
export function excerpt(text: string, offset: number): string {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const end = text.indexOf('\n', offset);
  const from = Math.max(start, offset - EXCERPT_SIDE);
  const to = Math.min(end === -1 ? text.length : end, offset + EXCERPT_SIDE);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a terminal
  const shown = text.slice(from, to).replace(/[\u0000-\u001f\u007f]/g, ' ');
  return `\n      ${shown.trimEnd()}\n      ${' '.repeat(offset - from)}^`;
}

/** A finding with its value and place. `value` is the document after overrides, `source` the text before. */
export function toProblem(finding: Finding, source: Source, value: unknown): Problem {
  const { path, message, override, hideValue } = finding;
  const found = valueAt(value, path);
  const offset =
    override === undefined ? (finding.offset ?? source.offsetOf(path, finding.at ?? 'value')) : undefined;
  return {
    pointer: pointerOf(path),
    message,
    ...(found !== undefined && path.length > 0 && !hideValue && { value: shorten(found) }),
    ...(offset !== undefined && placeOf(source.text, offset)),
    ...(override !== undefined && { override }),
  };
}

/** One problem as a line: `file:line:col  /pointer: message (is: value)`. Fit for a terminal whatever the file holds. */
export function formatProblem(file: string, problem: Problem): string {
  const at = problem.line === undefined ? '' : `:${problem.line}:${problem.column ?? 1}`;
  const place = problem.override === undefined ? `${file}${at}` : `--set ${problem.override}`;
  const pointer = problem.pointer === '' ? '' : `${printable(problem.pointer)}: `;
  const message = problem.message.split('\n').map(printable).join('\n');
  const is = problem.value === undefined ? '' : ` (is: ${printable(problem.value)})`;
  return `${place}  ${pointer}${message}${is}`;
}

/** Without control characters, and bounded: a name in the file can be anything. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
  return clean.length <= MAX_PART ? clean : `${clean.slice(0, MAX_PART - 1)}…`;
}

function json(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // A YAML alias can make a value contain itself, and nesting can be deeper than the stack.
    return Array.isArray(value) ? '[…]' : '{…}';
  }
}
