/** docs/etcd-keys.md has every key as the code makes it, and every field of every value, and no other. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { DEFAULT_PREFIX, keys } from '../../src/cluster/keys.ts';
import { PACKAGE_ROOT } from '../../src/version.ts';

const read = (...path: readonly string[]) => readFile(join(PACKAGE_ROOT, ...path), 'utf8');

/** What each maker of a key takes. */
const TAKES: Readonly<Record<string, readonly string[]>> = {
  host: ['{project}', '{host}'],
  config: [],
  desired: ['{component}'],
  rollout: ['{component}'],
  scale: ['{component}'],
  shares: ['{component}'],
  turn: ['{component}', '{host}'],
  peer: ['{host}'],
  link: ['{link}', '{host}'],
  release: ['{component}', '{release}'],
  outcome: ['{component}', '{release}'],
  status: ['{component}', '{host}'],
  run: ['{run}'],
  claim: ['{run}'],
  executor: ['{host}'],
  schedule: ['{schedule}'],
  cursor: ['{schedule}'],
  ended: ['{run}'],
  event: ['{event}'],
  asked: ['{entry}'],
  askedOfToken: ['{entry}'],
  token: ['{token}'],
  secret: ['{secret}'],
  secretsKey: [],
};

/** Where the values are described. */
const VALUES = [
  ['src', 'cluster', 'values.ts'],
  ['src', 'cluster', 'scale-values.ts'],
  ['src', 'cluster', 'job-values.ts'],
  ['src', 'cluster', 'event-values.ts'],
  ['src', 'secrets', 'secret-values.ts'],
] as const;

/** Every member of the keys that is a key, or makes one; a range is none. */
function keysOfCode(): Map<string, string> {
  const all = keys(DEFAULT_PREFIX);
  const project = all.project('{project}');
  const members = { ...all, ...project, ...project.jobs };
  const found = new Map<string, string>();
  for (const [name, member] of Object.entries(members)) {
    if (name === 'prefix' || name === 'project') continue;
    const made: unknown =
      typeof member === 'function'
        ? (member as (...args: readonly string[]) => unknown)(...(TAKES[name] ?? []))
        : member;
    if (typeof made === 'string') found.set(name, made);
  }
  return found;
}

/** Exported interfaces with their fields, an optional one with its question mark. */
function shapesOf(source: string): Map<string, readonly string[]> {
  const interfaces = [...source.matchAll(/^export interface (\w+) \{\n([\s\S]*?)^\}/gm)];
  return new Map(
    interfaces.map(([, name = '', body = '']) => [
      name,
      [...body.matchAll(/^ {2}readonly (\w+\??):/gm)].map(([, field = '']) => field),
    ]),
  );
}

/** Headings with the fields in the table below each. */
function sectionsOf(page: string): Map<string, readonly string[]> {
  const sections = page.split(/^## /m).slice(1);
  return new Map(
    sections.map((text) => [
      text.split('\n', 1)[0] ?? '',
      [...text.matchAll(/^\| `(\w+\??)` \|/gm)].map(([, field = '']) => field),
    ]),
  );
}

/** `ConfigValue` is config on the page, `StatusContainer` is status container. */
function titleOf(shape: string): string {
  return shape
    .replace(/Value$/, '')
    .replace(/(?<=.)[A-Z]/g, (letter) => ` ${letter}`)
    .toLowerCase();
}

describe('docs/etcd-keys.md', () => {
  test('has every key, as the code makes it', async () => {
    const made = keysOfCode();
    assert.deepEqual(
      [...made.keys()].sort(),
      Object.keys(TAKES).sort(),
      'the test knows what each key takes',
    );
    const page = await read('docs', 'etcd-keys.md');
    const listed = [...page.matchAll(/^\| `(\/\S+)` \|/gm)].map(([, key = '']) => key);
    assert.deepEqual(listed.sort(), [...made.values()].sort());
  });

  test('sends each key to a section that is there', async () => {
    const page = await read('docs', 'etcd-keys.md');
    const titles = [...sectionsOf(page).keys()].map((title) => title.replaceAll(' ', '-'));
    const links = [...page.matchAll(/\]\(#([\w-]+)\)/g)].map(([, link = '']) => link);
    assert.ok(links.length >= Object.keys(TAKES).length);
    assert.deepEqual(
      links.filter((link) => !titles.includes(link)),
      [],
    );
  });

  test('has every field of every value', async () => {
    const page = await read('docs', 'etcd-keys.md');
    const sources = await Promise.all(VALUES.map((path) => read(...path)));
    const shapes = [...shapesOf(sources.join('\n'))].map(
      ([name, fields]) => [titleOf(name), fields] as const,
    );
    assert.ok(shapes.length >= Object.keys(TAKES).length, 'the values are found in the source');
    assert.deepEqual(
      new Map([...sectionsOf(page)].sort(([a], [b]) => a.localeCompare(b))),
      new Map([...shapes].sort(([a], [b]) => a.localeCompare(b))),
    );
  });
});
