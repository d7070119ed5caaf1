/**
 * How the rules read the raw document: tolerantly, since parts of it may not be of the schema's shape.
 * What is not an object in a list is skipped; the schema has a word for it. Pure.
 */
import { type Finding, isRecord, type Path, pointerOf, valueAt } from './problems.ts';

/** An object of the document and where it stands. */
export interface Entry {
  readonly path: Path;
  readonly item: Readonly<Record<string, unknown>>;
}

/** The objects of the list at the path; nothing when there is no list or no object in it. */
export function entries(root: unknown, path: Path, base: Path = []): Entry[] {
  const list = valueAt(root, path);
  if (!Array.isArray(list)) return [];
  return list.flatMap((item, index) => (isRecord(item) ? [{ path: [...base, ...path, index], item }] : []));
}

export function entriesOf(component: Entry, field: string): Entry[] {
  return entries(component.item, [field], component.path);
}

export function nameOf(component: Entry): string {
  return typeof component.item.name === 'string' ? component.item.name : pointerOf(component.path);
}

/** Every entry whose field has the same text as an earlier entry's. */
export function repeats(
  list: readonly Entry[],
  field: string,
  message: (first: Entry, value: string) => string,
  same: (value: string) => string = (value) => value,
): Finding[] {
  const seen = new Map<string, Entry>();
  const found: Finding[] = [];
  for (const entry of list) {
    const value = entry.item[field];
    if (typeof value !== 'string') continue;
    const first = seen.get(same(value));
    if (first === undefined) seen.set(same(value), entry);
    else found.push({ path: [...entry.path, field], message: message(first, value) });
  }
  return found;
}
