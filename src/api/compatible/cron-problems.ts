/** What is wrong with an allocation, in the cron server's form: `{overall, fields}`, a message for each. Pure. */
import { pathOf, valueAt } from '../../config/problems.ts';
import type { Wrong } from '../problem.ts';

export interface Refused {
  readonly overall: Readonly<Record<string, string>>;
  /** By its place, as `Container.Config.Image`. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Its own words for what is missing. */
const MISSING: ReadonlyMap<string, string> = new Map([
  ['Container.Config', 'Config is required'],
  ['Container.Config.Image', 'Image is required'],
]);

export function refusedJson(message: string): Refused {
  return { overall: { DeserializationError: message }, fields: {} };
}

export function refusedProblems(document: unknown, problems: readonly Wrong[]): Refused {
  const overall: Record<string, string> = {};
  // Their names are the client's: `constructor` is one like any other.
  const fields: Record<string, string> = Object.create(null);
  for (const { pointer, message } of problems) {
    const path = pathOf(pointer);
    const field = path.join('.');
    const value = valueAt(document, path);
    const isMissing = value === undefined || value === '' || value === null;
    if (field === '') overall.Specification = message;
    else fields[field] ??= isMissing ? (MISSING.get(field) ?? 'Required') : message;
  }
  return { overall, fields };
}
