/**
 * `--set PATH=VALUE` on the raw document. Paths count from the component the command is about; `project`,
 * `proxy.…` and `components.NAME.…` count from the top. Entries of a list are addressed by the field that
 * names them (`ports.8080=80`, `healthChecks.web.timeout=500`) and are made when missing; a list of texts
 * is appended to; a value beginning with `[` or `{` replaces lists and objects whole. Pure.
 */
import { type Finding, isRecord, type Path, valueAt } from './problems.ts';
import { ROOT, type SchemaNode } from './schema.ts';
import { didYouMean, suggest } from './suggest.ts';

/** For each list of objects: the field that names an entry, and the one `list.NAME=VALUE` sets. */
const ENTRY_FIELDS: Readonly<Record<string, { readonly name: string; readonly value?: string }>> = {
  components: { name: 'name' },
  ports: { name: 'external', value: 'container' },
  readyChecks: { name: 'id', value: 'kind' },
  healthChecks: { name: 'id', value: 'kind' },
  terminationChecks: { name: 'id', value: 'kind' },
  terminationSignals: { name: 'id', value: 'kind' },
  bindings: { name: 'external', value: 'volume' },
  defineComponentLinks: { name: 'name', value: 'port' },
  requireComponentLinks: { name: 'name', value: 'alias' },
  environmentVariables: { name: 'name', value: 'value' },
  ulimits: { name: 'name', value: 'soft' },
};

/** A part of the document that an override wrote. */
export interface Touched {
  readonly path: Path;
  readonly override: string;
}

export interface Overridden {
  readonly value: unknown;
  readonly touched: readonly Touched[];
  readonly findings: readonly Finding[];
}

class BadPath extends Error {
  readonly path: Path;
  constructor(path: Path, message: string) {
    super(message);
    this.path = path;
  }
}

type Container = Record<string | number, unknown>;

/** Where the walk stands: `holder[key]` is what `node` describes. */
interface Spot {
  readonly node: SchemaNode;
  readonly holder: Container;
  readonly key: string | number;
  readonly path: Path;
}

/** The document with the overrides applied. A component it does not define is left to the caller to refuse. */
export function applyOverrides(
  document: unknown,
  overrides: readonly string[],
  component: string | undefined,
): Overridden {
  if (overrides.length === 0) return { value: document, touched: [], findings: [] };
  const holder: Container = { root: structuredClone(document) };
  const touched: Touched[] = [];
  const findings: Finding[] = [];
  for (const override of overrides) {
    try {
      const path = applyOne(holder, override, component);
      if (path !== undefined) touched.push({ path, override });
    } catch (error) {
      if (!(error instanceof BadPath)) throw error;
      findings.push({ path: error.path, message: error.message, override, hideValue: true });
    }
  }
  return { value: holder.root, touched, findings };
}

function applyOne(holder: Container, override: string, component: string | undefined): Path | undefined {
  const equals = override.indexOf('=');
  if (equals < 1) throw new BadPath([], 'must be PATH=VALUE, as tag=v2');
  const steps = override.slice(0, equals).split('.');
  const spot = startOf(holder, steps[0] ?? '', component);
  return spot && walk(spot, steps, override.slice(equals + 1));
}

/** The top for a path of the project, else the component; undefined when the document has no such one. */
function startOf(holder: Container, first: string, component: string | undefined): Spot | undefined {
  const known = Object.keys(ROOT.properties ?? {});
  if (known.includes(first)) return { node: ROOT, holder, key: 'root', path: [] };
  if (component === undefined) {
    const help = didYouMean(first, known);
    throw new BadPath([], `a path begins with ${known.join(', ')}, as components.NAME.tag${help}`);
  }
  const list = valueAt(holder.root, ['components']);
  if (!Array.isArray(list)) return undefined;
  const key = list.findIndex((entry) => isRecord(entry) && entry.name === component);
  const node = ROOT.properties?.components?.items ?? {};
  return key === -1
    ? undefined
    : { node, holder: list as unknown as Container, key, path: ['components', key] };
}

/** Sets the value and says where; undefined when the document is not of the schema's shape on the way. */
function walk(spot: Spot, steps: readonly string[], text: string): Path | undefined {
  const { node } = spot;
  if (steps.length === 0 && !isAppend(node, text)) return write(spot, coerce(node, text));
  if (node.type === 'array') return walkList(spot, steps, text);
  if (node.type !== 'object') {
    throw new BadPath(spot.path, `\`${String(spot.key)}\` is a plain value; nothing can follow it`);
  }
  const object = child(spot, {});
  if (!isRecord(object)) return undefined;
  if (typeof node.additionalProperties === 'object') {
    const key = steps.join('.');
    return write(at(spot, object, key, node.additionalProperties), text);
  }
  const [field = '', ...rest] = steps;
  return walk(at(spot, object, field, fieldOf(node, field, spot.path)), rest, text);
}

function walkList(spot: Spot, steps: readonly string[], text: string): Path | undefined {
  const list = child(spot, []);
  if (!Array.isArray(list)) return undefined;
  const items = spot.node.items ?? {};
  if (items.type !== 'object') {
    if (steps.length > 0)
      throw new BadPath(spot.path, `\`${spot.key}\` is a list of texts; write ${spot.key}=VALUE`);
    return write(at(spot, list as unknown as Container, list.length, items), text);
  }
  const fields = ENTRY_FIELDS[String(spot.key)];
  if (fields === undefined || steps.length === 0) {
    throw new BadPath(spot.path, `\`${spot.key}\` is a list; name the entry, as ${spot.key}.NAME=VALUE`);
  }
  return walkEntry(spot, list, fields, steps, text);
}

function walkEntry(
  spot: Spot,
  list: unknown[],
  fields: { readonly name: string; readonly value?: string },
  steps: readonly string[],
  text: string,
): Path | undefined {
  const items = spot.node.items ?? {};
  const found = findEntry(list, fields.name, steps);
  if (found === undefined && spot.key === 'components') throw unknownComponent(list, steps, spot.path);
  const length = found?.length ?? newNameLength(items, steps, spot.path);
  const rest = steps.slice(length);
  const inner = rest.length === 0 ? fields.value : undefined;
  if (rest.length === 0 && inner === undefined) {
    throw new BadPath(spot.path, 'name a field of the component, as components.NAME.tag=v2');
  }
  const index = found?.index ?? list.length;
  const entry = at(spot, list as unknown as Container, index, items);
  const path = inner === undefined ? rest : [inner];
  // The path is checked before a new entry is made, so that a bad one leaves nothing behind.
  fieldOf(items, path[0] ?? '', entry.path);
  if (found === undefined)
    list.push({ [fields.name]: coerceName(items, fields.name, steps.slice(0, length)) });
  const written = walk(entry, path, text);
  return found === undefined ? entry.path : written;
}

function unknownComponent(list: readonly unknown[], steps: readonly string[], path: Path): BadPath {
  const known = list.flatMap((entry) => (isRecord(entry) ? [nameIn(entry, 'name')] : []));
  const name = steps[0] ?? '';
  return new BadPath(path, `no component is called "${name}"${didYouMean(name, known)}`);
}

/** The entry whose name takes up most steps: names may contain dots. A check without id goes by its kind. */
function findEntry(list: readonly unknown[], field: string, steps: readonly string[]) {
  for (let length = steps.length; length > 0; length--) {
    const name = steps.slice(0, length).join('.');
    const index = list.findIndex((entry) => isRecord(entry) && nameIn(entry, field) === name);
    if (index !== -1) return { index, length };
  }
  return undefined;
}

function nameIn(entry: Readonly<Record<string, unknown>>, field: string): string {
  const name = entry[field] ?? (field === 'id' ? entry.kind : undefined);
  return typeof name === 'string' || typeof name === 'number' ? String(name) : '';
}

/** How many steps name a new entry: all, unless the last one is (or nearly is) one of its fields. */
function newNameLength(items: SchemaNode, steps: readonly string[], path: Path): number {
  const last = steps.at(-1) ?? '';
  const known = Object.keys(items.properties ?? {});
  if (steps.length < 2) return steps.length;
  if (known.includes(last)) return steps.length - 1;
  if (suggest(last, known) === undefined) return steps.length;
  throw new BadPath(
    [...path, steps.slice(0, -1).join('.')],
    `unknown field "${last}"${didYouMean(last, known)}`,
  );
}

function fieldOf(node: SchemaNode, field: string, path: Path): SchemaNode {
  const properties = node.properties ?? {};
  const found = Object.hasOwn(properties, field) ? properties[field] : undefined;
  if (found !== undefined) return found;
  throw new BadPath(path, `unknown field "${field}"${didYouMean(field, Object.keys(properties))}`);
}

function isAppend(node: SchemaNode, text: string): boolean {
  return node.type === 'array' && !text.trimStart().startsWith('[');
}

function at(spot: Spot, holder: Container, key: string | number, node: SchemaNode): Spot {
  return { node, holder, key, path: [...spot.path, key] };
}

/** What stands at the spot; made when nothing does. */
function child({ holder, key }: Spot, empty: unknown): unknown {
  if (!Object.hasOwn(holder, key) || holder[key] === undefined) define(holder, key, empty);
  return holder[key];
}

function write({ holder, key, path }: Spot, value: unknown): Path {
  define(holder, key, value);
  return path;
}

/** Not an assignment: a label may be called `__proto__`. */
function define(holder: Container, key: string | number, value: unknown): void {
  Object.defineProperty(holder, key, { value, writable: true, enumerable: true, configurable: true });
}

function coerceName(items: SchemaNode, field: string, steps: readonly string[]): unknown {
  return coerce(items.properties?.[field] ?? {}, steps.join('.'));
}

/** The text as the schema's type; left a text when it is none, for the validator to refuse. */
function coerce(node: SchemaNode, text: string): unknown {
  const types = typeof node.type === 'string' ? [node.type] : (node.type ?? []);
  if (types.includes('integer') && /^-?[0-9]{1,15}$/.test(text)) return Number(text);
  if (types.includes('number') && /^-?[0-9]+(\.[0-9]+)?$/.test(text)) return Number(text);
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  return types.includes('object') || types.includes('array') ? parsed(text) : text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
