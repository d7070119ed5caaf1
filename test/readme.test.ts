/** What README says is survived must be held by tests that exist. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../src/version.ts';

const README = readFileSync(join(PACKAGE_ROOT, 'README.md'), 'utf8');
const [, SURVIVED = ''] = /## What is survived\n([\s\S]*?)\n## /.exec(README) ?? [];
const ROWS = SURVIVED.split('\n').filter(
  (line) => line.startsWith('| ') && !line.startsWith('| what happens'),
);

test('every line of what is survived names tests that are there', () => {
  assert.ok(ROWS.length >= 10, `${ROWS.length} lines`);
  for (const row of ROWS) {
    const tests = [...row.matchAll(/\((test\/[^)]+\.test\.ts)\)/g)].map(([, path = '']) => path);
    assert.ok(tests.length > 0, row);
    for (const path of tests) assert.ok(existsSync(join(PACKAGE_ROOT, path)), `${path} is not there`);
  }
});

test('every file README links to is there', () => {
  const links = [...README.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, path = '']) => path);
  assert.ok(links.length > 10);
  for (const path of links) assert.ok(existsSync(join(PACKAGE_ROOT, path)), `${path} is not there`);
});
