/** Whatever the text and the overrides are, the answer is a project or problems, never an exception. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { JOB_EXAMPLE, SCHEDULES_EXAMPLE } from '../../src/config/job-reference.ts';
import { parseProject } from '../../src/config/parse.ts';
import { formatProblem } from '../../src/config/problems.ts';
import { EXAMPLE } from '../../src/config/reference.ts';
import { PROJECT_SCHEMA } from '../../src/config/schema.ts';
import { DOCKET, jobTextLines, MULTI_STEP, scheduleTextLines, WORDS } from './job-fixtures.ts';

const ROUNDS = 1_500;
const FIELDS = Object.keys(PROJECT_SCHEMA.properties.components.items.properties);
const VALUES: readonly unknown[] = [
  null,
  0,
  -1,
  1e300,
  '',
  'x',
  '80',
  true,
  [],
  [null],
  {},
  { kind: 'http' },
  [[]],
  '__proto__',
];
const SNIPPETS = [
  '"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '\\',
  '\n',
  '\t',
  '//',
  '&a',
  '*a',
  '<<',
  '!!js',
  '\u0000',
  '🚢',
  '---',
  '|',
];

/** Deterministic numbers in [0, 1): mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function pick<T>(list: readonly T[], next: () => number): T {
  return list[Math.floor(next() * list.length)] as T;
}

/** The value with one part of it, anywhere, replaced. */
function mutated(value: unknown, next: () => number): unknown {
  if (typeof value !== 'object' || value === null || next() < 0.15) return pick(VALUES, next);
  const copy = structuredClone(value) as Record<string, unknown>;
  const key = next() < 0.1 ? pick(FIELDS, next) : pick([...Object.keys(copy), 'zzz'], next);
  copy[key] = mutated(copy[key], next);
  return copy;
}

function scrambled(text: string, next: () => number): string {
  const at = Math.floor(next() * text.length);
  return text.slice(0, at) + pick(SNIPPETS, next) + text.slice(at + Math.floor(next() * 4));
}

function override(next: () => number): string {
  const words = [
    ...FIELDS,
    'web',
    '80',
    'proxy',
    'components',
    'kind',
    'port',
    '',
    '__proto__',
    'constructor',
  ];
  const path = Array.from({ length: 1 + Math.floor(next() * 4) }, () => pick(words, next)).join('.');
  return `${path}${next() < 0.95 ? '=' : ''}${pick(['', 'x', '5', 'true', '[]', '{}', '{', '[1', 'a=b'], next)}`;
}

function parseAndFormat(text: string, file: string, overrides: readonly string[] = []): void {
  try {
    const result = parseProject(text, { file, overrides, component: 'web' });
    if ('project' in result) return;
    assert.ok(result.problems.length > 0);
    for (const problem of result.problems) assert.ok(formatProblem(file, problem).length < 5_000);
  } catch (error) {
    assert.fail(`${String((error as Error).stack)}\non ${file} ${JSON.stringify(overrides)}\n${text}`);
  }
}

test('documents with parts replaced', () => {
  const next = random(1);
  for (let round = 0; round < ROUNDS; round++) {
    let document: unknown = JSON.parse(EXAMPLE);
    for (let i = 0; i <= next() * 3; i++) document = mutated(document, next);
    parseAndFormat(JSON.stringify(document), 'fuzz.json');
  }
});

test('texts with characters replaced', () => {
  const next = random(2);
  for (let round = 0; round < ROUNDS; round++) {
    let text = EXAMPLE;
    for (let i = 0; i <= next() * 3; i++) text = scrambled(text, next);
    parseAndFormat(text, round % 4 === 0 ? 'fuzz.yaml' : 'fuzz.json');
  }
});

test('overrides on documents with parts replaced', () => {
  const next = random(3);
  for (let round = 0; round < ROUNDS; round++) {
    const document = round % 2 === 0 ? JSON.parse(EXAMPLE) : mutated(JSON.parse(EXAMPLE), next);
    parseAndFormat(JSON.stringify(document), 'fuzz.json', [override(next), override(next)]);
  }
});

function parseJobs(text: string, file: string): void {
  for (const lines of [jobTextLines, scheduleTextLines]) {
    try {
      for (const line of lines(text, file)) assert.ok(line.length < 5_000);
    } catch (error) {
      assert.fail(`${String((error as Error).stack)}\non ${file}\n${text}`);
    }
  }
}

test('jobs and schedules with parts or characters replaced', () => {
  const next = random(4);
  const texts = [WORDS, MULTI_STEP, DOCKET, SCHEDULES_EXAMPLE, JOB_EXAMPLE];
  const documents = texts.map((text) => parse(text));
  for (let round = 0; round < ROUNDS / 4; round++) {
    let document: unknown = pick(documents, next);
    let text = pick(texts, next);
    for (let i = 0; i <= next() * 3; i++) {
      document = mutated(document, next);
      text = scrambled(text, next);
    }
    parseJobs(JSON.stringify(document), 'fuzz.json');
    parseJobs(text, 'fuzz.yaml');
  }
});

test('nesting deeper than any stack', () => {
  for (const open of ['[', '{"a":', '- ', 'a: [']) {
    parseAndFormat(open.repeat(20_000), 'fuzz.json');
    parseAndFormat(open.repeat(20_000), 'fuzz.yaml');
    parseJobs(open.repeat(20_000), 'fuzz.yaml');
  }
});
