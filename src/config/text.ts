/** Text that somebody wrote, JSON or YAML, as a value with places, or what makes it none. Pure. */
import { posix } from 'node:path';
import { readJson } from './json.ts';
import { type Finding, type Source, toProblem } from './problems.ts';
import type { Problem } from './project.ts';
import { readYaml } from './yaml.ts';

export type TextResult = { readonly source: Source } | { readonly problems: readonly Problem[] };

/** `file` tells the format by its extension; `empty` is said of a text without a value. */
export function readSource(text: string, file: string, empty: string): TextResult {
  const clean = text.startsWith('\ufeff') ? text.slice(1) : text;
  const read = valueIn(clean, file, { path: [], offset: 0, message: empty });
  if (!Array.isArray(read)) return { source: read as Source };
  const nothing = { text: clean, value: undefined, findings: [], offsetOf: () => undefined };
  return { problems: read.map((finding) => toProblem(finding, nothing, undefined)) };
}

/** In the order of the file, what came from overrides last. */
export function byPlace(a: Problem, b: Problem): number {
  const line = (a.line ?? Number.MAX_SAFE_INTEGER) - (b.line ?? Number.MAX_SAFE_INTEGER);
  return line === 0 ? (a.column ?? 0) - (b.column ?? 0) : line;
}

function valueIn(text: string, file: string, empty: Finding): Source | readonly Finding[] {
  if (text.trim() === '') return [empty];
  const source = isJson(text, file) ? readJson(text) : readYaml(text);
  if (Array.isArray(source)) return source;
  if ('path' in source) return [source];
  return (source as Source).value == null ? [empty] : (source as Source);
}

/** By the extension; a file of another name is JSON when it begins like JSON. */
function isJson(text: string, file: string): boolean {
  const extension = posix.extname(file).toLowerCase();
  if (extension === '.yaml' || extension === '.yml') return false;
  return extension === '.json' || /^\s*[{[]/.test(text);
}
