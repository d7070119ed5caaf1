/**
 * How values are read: a JSON object with `format`, in which each field that something is decided by holds what it
 * must. Whatever else is there is let through. What it is not is read as undefined, never thrown. Pure.
 */
import type { Entry } from './store.ts';

export const FORMAT = 1;

export type Holds = (value: unknown) => boolean;
export type Shape = Readonly<Record<string, Holds>>;

export const text: Holds = (v) => typeof v === 'string';
export const count: Holds = (v) => typeof v === 'number' && Number.isSafeInteger(v) && v >= 0;
export const truth: Holds = (v) => typeof v === 'boolean';
/** An ISO time that can be reckoned with. */
export const instant: Holds = (v) => typeof v === 'string' && !Number.isNaN(Date.parse(v));
export const object: Holds = (v) => typeof v === 'object' && v !== null && !Array.isArray(v);

export function oneOf(...known: readonly string[]): Holds {
  return (v) => typeof v === 'string' && known.includes(v);
}

export function optional(holds: Holds): Holds {
  return (v) => v === undefined || holds(v);
}

export function each(holds: Holds): Holds {
  return (v) => Array.isArray(v) && v.every(holds);
}

export function record(holds: Holds): Holds {
  return (v) => object(v) && Object.values(v as object).every(holds);
}

export function fields(shape: Shape): Holds {
  const has = shaped(shape);
  return (v) => object(v) && has(v as Readonly<Record<string, unknown>>);
}

/**
 * undefined for what is missing, damaged, or of another format. An entry is read once: it never changes, and whoever
 * follows keys asks for the same ones again and again.
 */
export function reader<T>(shape: Shape): (entry: Pick<Entry, 'value'> | undefined) => T | undefined {
  const has = shaped(shape);
  const known = new WeakMap<object, T | null>();
  return (entry) => {
    if (entry === undefined) return undefined;
    const before = known.get(entry);
    if (before !== undefined) return before ?? undefined;
    const value = parsed(entry.value);
    const read = value !== undefined && value.format === FORMAT && has(value) ? (value as T) : undefined;
    known.set(entry, read ?? null);
    return read;
  };
}

/** The shape is taken apart once, and not for each of thousands of values. */
function shaped(shape: Shape): (value: Readonly<Record<string, unknown>>) => boolean {
  const all = Object.entries(shape);
  return (value) => all.every(([field, holds]) => holds(value[field]));
}

function parsed(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return object(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
