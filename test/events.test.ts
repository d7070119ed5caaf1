/** docs/events.md has a row for every kind of event, and for nothing else but a command's two ends. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../src/version.ts';

const ENDS = ['result', 'error'];

test('docs/events.md tells of every event there is', async () => {
  const source = await readFile(join(PACKAGE_ROOT, 'src', 'events.ts'), 'utf8');
  const docs = await readFile(join(PACKAGE_ROOT, 'docs', 'events.md'), 'utf8');
  const kinds = [...source.matchAll(/readonly kind: '([a-z-]+)'/g)].map(([, kind]) => kind);
  const listed = [...docs.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, kind]) => kind);
  assert.ok(kinds.length > 10, 'the kinds are found in the source');
  assert.deepEqual(listed, [...kinds, ...ENDS]);
});
