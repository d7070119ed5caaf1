/**
 * YAML text with places, through the yaml package. The package is loaded when the first YAML file is
 * read and not before: a JSON project never pays for it.
 */
import { createRequire } from 'node:module';
import type { Alias, Document, Node, Pair, YAMLMap } from 'yaml';
import { excerpt, type Finding, type Path, type Source } from './problems.ts';

/** Aliases may multiply a text to at most this many nodes for each one written out. */
const MAX_ALIASES = 100;
/** A cron expression that begins with what has a meaning of its own in YAML. */
const UNQUOTED_CRON = /^(?:[ \t]*-)?[ \t]*cron:[ \t]+([*@][^\r\n#]*)/gim;

type Yaml = typeof import('yaml');

/** The text as a Source, or the things that make it no YAML. */
export function readYaml(text: string): Source | readonly Finding[] {
  const yaml = loadYaml();
  try {
    const document = yaml.parseDocument(text, {
      merge: true,
      prettyErrors: false,
      strict: true,
      logLevel: 'error',
    });
    const faults = [...document.errors, ...document.warnings];
    const findings = unquotedCron(text, faults) ?? faults.map((fault) => toFinding(text, fault));
    if (document.errors.some((error) => error.code !== 'DUPLICATE_KEY')) return findings;
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    return { text, value, findings, offsetOf: (path, at) => offsetOf(yaml, document, path, at) };
  } catch (error) {
    // The package throws on alias bombs, unresolved aliases and nesting deeper than its stack.
    const why =
      error instanceof RangeError ? 'it is nested too deeply' : sentence(String((error as Error).message));
    return [{ path: [], offset: 0, message: `cannot be read as YAML: ${why}` }];
  }
}

/** require, not import(): reading a config stays synchronous. */
function loadYaml(): Yaml {
  return createRequire(import.meta.url)('yaml') as Yaml;
}

interface Fault {
  readonly code: string;
  readonly message: string;
  readonly pos: readonly [number, number];
}

/** What YAML reads as aliases and reserved characters, and people mean as text: one finding for each such line. */
function unquotedCron(text: string, faults: readonly Fault[]): Finding[] | undefined {
  const found = [...text.matchAll(UNQUOTED_CRON)].map((match) => {
    const value = match[1]?.trimEnd() ?? '';
    const offset = match.index + match[0].indexOf(value);
    return { path: [], offset, message: `must stand in quotes: write "${value}"${excerpt(text, offset)}` };
  });
  return faults.length > 0 && found.length > 0 ? found : undefined;
}

function toFinding(text: string, fault: Fault): Finding {
  const offset = Math.min(fault.pos[0], text.length);
  return { path: [], offset, message: `${explain(fault.code, fault.message)}${excerpt(text, offset)}` };
}

function explain(code: string, message: string): string {
  switch (code) {
    case 'MULTIPLE_DOCS':
      return 'holds several YAML documents (`---`); a file holds one of them';
    case 'DUPLICATE_KEY':
      return 'this field is given twice';
    case 'TAG_RESOLVE_FAILED':
      return 'YAML tags of your own (`!…`) are not allowed here; write the plain value';
    case 'TAB_AS_INDENT':
      return 'is not valid YAML: lines are indented by spaces, not by tabs';
    default:
      return `is not valid YAML: ${sentence(message)}`;
  }
}

function sentence(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

function offsetOf(yaml: Yaml, document: Document, path: Path, at: 'key' | 'value'): number | undefined {
  let node: Node | null | undefined = document.contents;
  let offset = node?.range?.[0];
  for (const [depth, step] of path.entries()) {
    const found: Child | undefined = child(yaml, resolve(yaml, document, node), step);
    if (found === undefined) break;
    node = found.value;
    const value = node?.range?.[0] ?? found.key?.range?.[0];
    offset =
      (at === 'key' && depth === path.length - 1 ? found.key?.range?.[0] : undefined) ?? value ?? offset;
  }
  return offset;
}

interface Child {
  readonly key?: Node;
  readonly value: Node | null;
}

function child(yaml: Yaml, node: Node | null | undefined, step: string | number): Child | undefined {
  if (yaml.isSeq(node)) {
    const item = node.items[Number(step)];
    return yaml.isNode(item) ? { value: item } : undefined;
  }
  if (!yaml.isMap(node)) return undefined;
  const pair = pairOf(yaml, node, String(step));
  if (pair === undefined || !yaml.isNode(pair.key)) return undefined;
  return { key: pair.key, value: yaml.isNode(pair.value) ? pair.value : null };
}

function pairOf(yaml: Yaml, map: YAMLMap, name: string): Pair | undefined {
  return map.items.find((pair) => yaml.isScalar(pair.key) && String(pair.key.value) === name);
}

function resolve(yaml: Yaml, document: Document, node: Node | null | undefined): Node | null | undefined {
  return yaml.isAlias(node) ? (node as Alias).resolve(document) : node;
}
