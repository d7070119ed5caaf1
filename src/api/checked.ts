/**
 * Query and body of a request, checked against the schemas of its route. A route's schemas are compiled when it is first
 * asked for: an agent that nobody asks holds no validator.
 */
import type { Flaw, JsonCheck } from '../config/json-check.ts';
import { requestInvalid, type Wrong } from './problem.ts';
import type { Call, Route, Schema } from './route.ts';

const CHECKS = new WeakMap<object, JsonCheck>();
const NUMBER = /^-?\d{1,15}(\.\d{1,15})?$/;

/** The words of the query in the types that their schemas say. Throws request-invalid with all that is wrong. */
export async function checkedQuery(route: Route, words: URLSearchParams): Promise<Call['query']> {
  const query: Record<string, string | number | boolean> = Object.create(null);
  if (words.size === 0) return query;
  const known = route.query ?? {};
  const wrong: Wrong[] = [];
  for (const name of new Set(words.keys())) {
    const [text = '', ...more] = words.getAll(name);
    const schema = Object.hasOwn(known, name) ? known[name] : undefined;
    if (schema === undefined && route.compatible === true) continue;
    if (schema === undefined) wrong.push(inQuery(name, 'is not known here'));
    else if (more.length > 0) wrong.push(inQuery(name, 'is there more than once'));
    else {
      const value = typed(text, schema);
      const [flaw] = (await checkOf(schema))(value);
      if (flaw !== undefined) wrong.push(inQuery(name, flaw.message));
      query[name] = value;
    }
  }
  if (wrong.length > 0) throw requestInvalid(wrong);
  return query;
}

/** Throws request-invalid with all that is wrong. */
export async function checkedBody(schema: Schema, value: unknown): Promise<unknown> {
  const flaws = (await checkOf(schema))(value);
  if (flaws.length > 0) throw requestInvalid(flaws satisfies readonly Flaw[]);
  return value;
}

async function checkOf(schema: Schema): Promise<JsonCheck> {
  const known = CHECKS.get(schema);
  if (known !== undefined) return known;
  const { jsonCheck } = await import('../config/json-check.ts');
  const made = jsonCheck(schema);
  CHECKS.set(schema, made);
  return made;
}

function typed(text: string, { type }: Schema): string | number | boolean {
  if (type === 'boolean') return text === 'true' || text === '1' || text === '' ? true : asBoolean(text);
  if ((type === 'integer' || type === 'number') && NUMBER.test(text)) return Number(text);
  return text;
}

function asBoolean(text: string): string | boolean {
  return text === 'false' || text === '0' ? false : text;
}

function inQuery(name: string, message: string): Wrong {
  return { pointer: `?${name.slice(0, 100)}`, message };
}
