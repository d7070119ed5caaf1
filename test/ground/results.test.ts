/** The closing lines of `npm test`, made from what the runner really reports. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PACKAGE_ROOT } from '../../src/version.ts';

const MODULE = join(PACKAGE_ROOT, 'test', 'ground', 'results.mjs');
const RUN_TIMEOUT_MS = 30_000;
const FILES = {
  'good.test.js': "test('good', () => {}); test('later', { todo: true }, () => { throw new Error(); });",
  'bad.test.js': "test('outer', async (t) => { await t.test('inner', () => { throw new Error('x'); }); });",
  'broken.test.js': "throw new Error('does not load');",
};

interface Results {
  readResults(files: readonly string[]): readonly unknown[];
  closing(results: readonly unknown[]): string;
}

test('the closing lines count, and name failed tests and slow files by their sources', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gantryd-results-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const written = runTests(folder);
  const { closing, readResults } = (await import(pathToFileURL(MODULE).href)) as Results;

  const text = closing(readResults([written, join(folder, 'never-written')]));

  const [failed = '', slowest = '', counts] = text.split('\n\n');
  assert.deepEqual(failed.split('\n').sort(), [
    '  test/bad.test.ts: outer',
    '  test/broken.test.ts: the file as a whole',
    'Failed:',
  ]);
  const named = [...slowest.matchAll(/^ +\d+\.\d s {2}(\S+)$/gm)].map(([, file]) => file);
  assert.deepEqual(named.sort(), ['test/bad.test.ts', 'test/broken.test.ts', 'test/good.test.ts']);
  assert.equal(counts, 'All groups: tests 5, pass 1, fail 3, cancelled 0, skipped 0, todo 1');
});

/** Answers the file that the reporter wrote. */
function runTests(folder: string): string {
  mkdirSync(join(folder, 'dist', 'test'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  const files = Object.entries(FILES).map(([name, text]) => {
    const file = join('dist', 'test', name);
    writeFileSync(join(folder, file), `import { test } from 'node:test';\n${text}\n`);
    return file;
  });
  const results = join(folder, 'results');
  const reporter = [`--test-reporter=${MODULE}`, `--test-reporter-destination=${results}`];
  // Without the outer runner's mark, or this one would report to it.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  spawnSync(process.execPath, ['--test', ...reporter, ...files], {
    cwd: folder,
    env,
    timeout: RUN_TIMEOUT_MS,
  });
  return results;
}
