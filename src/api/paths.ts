/**
 * From the target of a request to the route that it means. Paths are taken apart before they are decoded, and what a
 * proxy or a file system might read in another way than we do (`..`, `%2f`, NUL) is refused. Pure.
 */
import { GantryError } from '../errors.ts';
import { Refusal } from './problem.ts';
import type { Route } from './route.ts';

/** A name in a path is a part of a key in etcd. */
const MAX_NAME = 300;
const MAX_TARGET = 8 * 1024;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const UNSAFE = /[/\\\u0000-\u001f\u007f]/;

export interface Target {
  /** Decoded, without the slashes. */
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

export interface Found {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

export interface Paths {
  /** Throws not-found, or method-unknown with the methods that there are. */
  find(method: string, target: Target): Found;
}

/** Throws usage for what is no path that anybody means well. */
export function targetOf(url: string): Target {
  if (!url.startsWith('/')) throw odd('the target of the request is no path');
  if (url.length > MAX_TARGET) throw odd(`the target of the request is longer than ${MAX_TARGET} bytes`);
  const [path = '', ...query] = url.split('?');
  const parts = path.slice(1).split('/').map(partOf);
  return { parts, query: new URLSearchParams(query.join('?')) };
}

function partOf(text: string): string {
  const part = decoded(text);
  if (part === '.' || part === '..' || UNSAFE.test(part) || part.length > MAX_NAME)
    throw odd('the path has a part that cannot be a name');
  return part;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new GantryError('usage', 'the path has a % that stands for nothing', { cause });
  }
}

function odd(message: string): GantryError {
  return new GantryError('usage', message);
}

export function pathsOf(routes: readonly Route[]): Paths {
  const patterns = routes.map((route) => {
    const pattern = route.path.slice(1).split('/');
    return { route, pattern, rank: rankOf(pattern) };
  });
  // A word goes before a name that may be any word.
  patterns.sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0));
  return {
    find(method, { parts }) {
      const here = patterns.flatMap(({ route, pattern }) => {
        const params = matched(pattern, parts);
        return params === undefined ? [] : [{ route, params }];
      });
      const found = here.find(({ route }) => answers(route, method));
      if (found !== undefined) return found;
      throw here.length === 0 ? nothing(parts) : otherMethod(method, here);
    },
  };
}

function rankOf(pattern: readonly string[]): string {
  return pattern.map((part) => (part.startsWith(':') ? '1' : '0')).join('');
}

/** What is streamed has no end that a HEAD could tell of. */
function answers({ method, answer }: Route, asked: string): boolean {
  return method === asked || (asked === 'HEAD' && method === 'GET' && typeof answer !== 'string');
}

function matched(
  pattern: readonly string[],
  parts: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (pattern.length !== parts.length) return undefined;
  const params: Record<string, string> = Object.create(null);
  for (const [index, part] of pattern.entries()) {
    const word = parts[index] ?? '';
    if (part.startsWith(':') && word !== '') params[part.slice(1)] = word;
    else if (part !== word) return undefined;
  }
  return params;
}

function nothing(parts: readonly string[]): GantryError {
  return new GantryError('not-found', `there is nothing at /${parts.join('/').slice(0, 200)}`, {
    hint: '/openapi.json has all paths.',
  });
}

function otherMethod(method: string, here: readonly Found[]): GantryError {
  const all = here.flatMap(({ route }) => (answers(route, 'HEAD') ? ['GET', 'HEAD'] : [route.method]));
  const allow = [...new Set(all)].join(', ');
  return new Refusal('method-unknown', `${method} is not for this path; ${allow} is`, {
    headers: { allow },
  });
}
