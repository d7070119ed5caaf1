/** docs/events.md has a row for every kind of event, and for nothing else but a command's two ends. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../src/version.ts';

const ENDS = ['result', 'error'];
/** Agents tell it too. */
const SHARED = 'cluster';

const read = (...path: readonly string[]) => readFile(join(PACKAGE_ROOT, ...path), 'utf8');

const kindsIn = (source: string) =>
  [...source.matchAll(/readonly kind: '([a-z-]+)'/g)].map(([, kind = '']) => kind);

test('docs/events.md tells of every event there is', async () => {
  const [agent, fleet, docs] = await Promise.all([
    read('src', 'events.ts'),
    read('src', 'fleet', 'reports', 'follow.ts'),
    read('docs', 'events.md'),
  ]);
  const kinds = kindsIn(agent);
  const followed = kindsIn(fleet).filter((kind) => kind !== SHARED);
  const listed = [...docs.matchAll(/^\| `([a-z-]+)` \|[^|\n]*\|[^|\n]*\|$/gm)].map(([, kind]) => kind);
  assert.ok(kinds.length > 10 && followed.length > 1, 'the kinds are found in the source');
  assert.ok(kinds.includes(SHARED) && kindsIn(fleet).includes(SHARED));
  assert.deepEqual(listed, [...kinds, ...ENDS, ...followed]);
});
