/** docs/errors.md lists every code with its exit code and meaning, and no other. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERROR_CODES } from '../src/errors.ts';
import { PACKAGE_ROOT } from '../src/version.ts';

test('docs/errors.md lists every error code as the code has it', async () => {
  const text = await readFile(join(PACKAGE_ROOT, 'docs', 'errors.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `([a-z-]+)` \| ([1-4]) \| (.+?) \| .+ \|$/gm)];
  const listed = rows.map(([, code, exit, about]) => ({ code, exit: Number(exit), about }));
  const expected = Object.entries(ERROR_CODES).map(([code, { exit, about }]) => ({ code, exit, about }));
  assert.deepEqual(listed, expected);
});
