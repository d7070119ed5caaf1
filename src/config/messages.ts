/**
 * What a failed schema keyword means to the person who wrote the file: one sentence saying what would
 * be right, with the replacement spelled out where the mistake is a known one. Pure.
 */
import type { ErrorObject } from 'ajv';
import { type Finding, isRecord, type Path, pathOf, shorten, valueAt } from './problems.ts';
import { MAX_MS, MAX_SECONDS, ROOT, type SchemaNode } from './schema.ts';
import { didYouMean } from './suggest.ts';

/** What each `pattern` of the schema asks for. A test holds this complete. */
export const PATTERNS: Readonly<Record<string, string>> = {
  '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$':
    'must begin with a letter or digit, go on with letters, digits, `_`, `.` or `-`, and have 63 characters at most',
  '^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$':
    'must begin with a letter or digit, go on with letters, digits, `_` or `-`, and have 63 characters at most',
  '^/': 'must begin with `/`',
  '^[1-9][0-9]*[bkmgBKMG]?$': 'must be a number of bytes, or one with `k`, `m` or `g`, as "512m"',
  '^[a-zA-Z_][a-zA-Z0-9_]*$': 'must begin with a letter or `_` and go on with letters, digits or `_`',
  '^[^=\\u0000]+$': 'must be the name of a variable: not empty and without `=`',
  '^label\\.[^\\s=]+$': 'must name a label of the hosts, as "label.zone"',
  '^https?://[^\\s/@?#]+([/?][^\\s#]*)?$':
    'must be an http or https address without user and password, as "https://example.com/hook"',
  '^auto$': 'must be a number, or "auto"',
  '^[^:]+:.+$': 'must be `name:address`, as "db:10.0.0.5"',
};

/** Fields of earlier versions, forks and other tools, and what to write here. */
const REPLACED: Readonly<Record<string, string>> = {
  exec_command: 'write `command`, a list of the program and its arguments, as ["sh", "-c", "…"]',
  memoryLimit: 'write `resources`: {"memory": …}',
  restartPolicy: 'leave it out; gantryd replaces a container that dies (see `healthChecks`)',
  elbTargetGroupArn: 'leave it out; traffic goes through gantryd’s own proxy',
  elbChecks: 'leave it out; see `readyChecks` and `terminationChecks`',
  image: 'write `repo` and `tag`',
  environment: 'write `environmentVariables`, a list of {"name": …, "value": …}',
  env: 'write `environmentVariables`, a list of {"name": …, "value": …}',
  volumes: 'write `bindings`, a list of {"external": …, "volume": …}',
  memory: 'write `resources`: {"memory": …}',
  cpus: 'write `resources`: {"cpus": …}',
  links: 'write `requireComponentLinks`, a list of {"name": …, "alias": …}',
  restart: 'leave it out; gantryd replaces a container that dies (see `healthChecks`)',
  services: 'write `components`, a list of {"name": …, "repo": …}',
};

/** Values of earlier versions and of other tools. */
const REPLACED_VALUES: Readonly<Record<string, string>> = {
  connections: '; the kind is called "connection"',
  elb: '; load balancers of a cloud are not asked, leave the check out',
  elb_terminate: '; the default, "connection", waits until the proxy holds no connection',
};

const DURATION = /^([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h)$/;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A schema and the words people use in its place: fields of other tools and versions, with what to write here. */
export interface Vocabulary {
  readonly root: SchemaNode;
  readonly replaced: Readonly<Record<string, string>>;
}

const PROJECT: Vocabulary = { root: ROOT, replaced: REPLACED };

export function toFindings(
  errors: readonly ErrorObject[],
  document: unknown,
  vocabulary: Vocabulary = PROJECT,
): Finding[] {
  return errors.map((error) => toFinding(error, document, vocabulary));
}

function toFinding(error: ErrorObject, document: unknown, { root, replaced }: Vocabulary): Finding {
  const path = pathOf(error.instancePath);
  const node = schemaOf(path, root);
  const value = valueAt(document, path);
  switch (error.keyword) {
    case 'required':
      return missing(path, node, String(error.params.missingProperty));
    case 'additionalProperties':
      return unknown(path, node, String(error.params.additionalProperty), replaced);
    case 'type':
      return { path, message: wrongType(node, value, path) };
    case 'enum':
      return { path, message: notOneOf(node.enum ?? [], value) };
    case 'pattern':
      return { path, message: PATTERNS[node.pattern ?? ''] ?? `must match ${node.pattern}` };
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
      return { path, message: outOfRange(node, value, path) };
    case 'minLength':
    case 'minItems':
      return { path, message: 'must not be empty' };
    default:
      return { path, message: error.message ?? 'is not valid' };
  }
}

/** The part of the schema that describes the value at the path. */
export function schemaOf(path: Path, root: SchemaNode = ROOT): SchemaNode {
  let node: SchemaNode = root;
  for (const step of path) {
    const extra = typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;
    const item = /^[0-9]+$/.test(String(step)) ? node.items : undefined;
    node = (item ?? own(node.properties, String(step)) ?? extra ?? {}) as SchemaNode;
  }
  return node;
}

function missing(path: Path, node: SchemaNode, field: string): Finding {
  const about = own(node.properties, field)?.description;
  return { path: [...path, field], message: `is missing${about === undefined ? '' : `: ${lower(about)}`}` };
}

function unknown(path: Path, node: SchemaNode, field: string, replaced: Vocabulary['replaced']): Finding {
  const known = Object.keys(node.properties ?? {});
  const instead = own(replaced, field);
  const help = instead === undefined ? meantOrKnown(field, known) : `; ${instead}`;
  return { path: [...path, field], at: 'key', message: `unknown field${help}` };
}

function meantOrKnown(field: string, known: readonly string[]): string {
  const meant = didYouMean(field, known);
  if (meant !== '') return meant;
  return known.length > 12 ? '' : `; the fields here are ${known.join(', ')}`;
}

function notOneOf(allowed: readonly string[], value: unknown): string {
  const list = allowed.map((item) => `"${item}"`).join(', ');
  if (typeof value !== 'string') return `must be one of ${list}`;
  return `must be one of ${list}${own(REPLACED_VALUES, value) ?? didYouMean(value, allowed)}`;
}

function outOfRange(node: SchemaNode, value: unknown, path: Path): string {
  if (isSecondsLike(node, path, value)) {
    return `must be at least ${node.minimum} milliseconds; write ${Number(value) * 1000} for ${value} seconds`;
  }
  if (node.maximum === MAX_MS) return `must be between ${node.minimum} and ${MAX_MS} milliseconds`;
  if (node.maximum === MAX_SECONDS) return `must be between ${node.minimum} and ${MAX_SECONDS} seconds`;
  if (node.exclusiveMinimum !== undefined) return `must be more than ${node.exclusiveMinimum}`;
  if (node.maximum === undefined) return `must be at least ${node.minimum}`;
  return `must be between ${node.minimum} and ${node.maximum}`;
}

/** The first gantryd counted a check's timeout in seconds. */
function isSecondsLike(node: SchemaNode, path: Path, value: unknown): boolean {
  const timed = path.at(-1) === 'timeout' || path.at(-1) === 'interval';
  return timed && typeof value === 'number' && value > 0 && value < (node.minimum ?? 0);
}

const TYPES: Readonly<Record<string, string>> = {
  integer: 'a whole number',
  string: 'text',
  array: 'a list',
  object: 'an object',
};

function wrongType(node: SchemaNode, value: unknown, path: Path): string {
  const types = typeof node.type === 'string' ? [node.type] : (node.type ?? []);
  if (types.length > 1)
    return `must be ${types.map((type) => typeWords(type, node)).join(' or ')}${unquoted(types, value, path, node)}`;
  switch (types[0]) {
    case 'string':
      return `must be text${isScalar(value) ? `: write "${value}" in quotes` : ''}`;
    case 'integer':
      return `must be a whole number${numberInstead(value, path, node)}`;
    case 'number':
      return `must be a number${numberInstead(value, path, node)}`;
    case 'boolean':
      return `must be true or false${booleanInstead(value)}`;
    case 'array':
      return `must be a list${listInstead(node, value, path)}`;
    default:
      return `must be an object${objectInstead(node, value, path)}`;
  }
}

function typeWords(type: string, node: SchemaNode): string {
  return type === 'object' && node.required !== undefined ? shapeOf(node) : (TYPES[type] ?? type);
}

function unquoted(types: readonly string[], value: unknown, path: Path, node: SchemaNode): string {
  return types.includes('integer') && !types.includes('string') ? numberInstead(value, path, node) : '';
}

function isScalar(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'boolean';
}

function numberInstead(value: unknown, path: Path, node: SchemaNode): string {
  if (typeof value !== 'string') return '';
  if (/^-?[0-9]{1,15}$/.test(value)) return `: write ${Number(value)} without quotes`;
  const duration = DURATION.exec(value);
  const timed = /(timeout|interval)$/i.test(String(path.at(-1)));
  if (duration === null || !timed) return '';
  const ms = Math.round(Number(duration[1]) * (UNIT_MS[duration[2] ?? 'ms'] ?? 1));
  return node.maximum === MAX_SECONDS
    ? ` of seconds: write ${Math.ceil(ms / 1_000)}`
    : ` of milliseconds: write ${ms}`;
}

function booleanInstead(value: unknown): string {
  if (typeof value !== 'string') return '';
  const word = value.toLowerCase();
  if (['true', 'yes', 'on'].includes(word)) return ': write true, without quotes';
  if (['false', 'no', 'off'].includes(word)) return ': write false, without quotes';
  return '';
}

function listInstead(node: SchemaNode, value: unknown, path: Path): string {
  const items = node.items ?? {};
  if (value === null) return '; leave the field out when there is nothing in it';
  if (items.type === 'string' && typeof value === 'string') {
    const words = path.at(-1) === 'command' ? value.split(/\s+/).filter((word) => word !== '') : [value];
    return `: write ${shorten(words)}`;
  }
  return items.type === 'object' ? ` of objects, each ${shapeOf(items)}` : '';
}

function objectInstead(node: SchemaNode, value: unknown, path: Path): string {
  if (value === null) return '; leave the field out when there is nothing in it';
  const list = path.at(-2);
  if (list === 'ports') {
    const pair = /^([0-9]{1,5}):([0-9]{1,5})$/.exec(String(value));
    if (pair !== null) return `: write {"external": ${Number(pair[1])}, "container": ${Number(pair[2])}}`;
  }
  if (/^environment/.test(String(list)) && typeof value === 'string' && value.includes('=')) {
    const name = value.slice(0, value.indexOf('='));
    return `: write ${shorten({ name, value: value.slice(name.length + 1) })}`;
  }
  if (node.required !== undefined && path.length > 0) return `: ${shapeOf(node)}`;
  return '';
}

function shapeOf(node: SchemaNode): string {
  return `{${(node.required ?? []).map((field) => `"${field}": …`).join(', ')}}`;
}

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, '');
}

function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return isRecord(record) && Object.hasOwn(record, key) ? (record[key] as T) : undefined;
}
