/** Every project file in examples must be valid and name the schema; every example must be told and tested. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { loadProject } from '../src/config/load.ts';
import { PACKAGE_ROOT } from '../src/version.ts';
import { tempFolder } from './ground/harness.ts';

const FOLDER = join(PACKAGE_ROOT, 'examples');
const FILES = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((f) =>
  /\.(json|ya?ml)$/.test(f),
);

test("README's project file is valid", async (t) => {
  const [, text = ''] =
    /```yaml\n([\s\S]*?)```/.exec(readFileSync(join(PACKAGE_ROOT, 'README.md'), 'utf8')) ?? [];
  const path = join(await tempFolder(t), 'shop.yaml');
  writeFileSync(path, text);
  assert.deepEqual(
    (await loadProject(path)).components.map(({ name }) => name),
    ['web', 'store'],
  );
});

test('there are project files', () => assert.ok(FILES.length >= 5, FILES.join()));

for (const file of FILES) {
  test(`${file} is a valid project file and names the schema`, async () => {
    const path = join(FOLDER, file);
    assert.ok((await loadProject(path)).components.length > 0);
    const schema = /\$schema(?:": "|=)([^"\s]+)/.exec(readFileSync(path, 'utf8'))?.[1] ?? '';
    assert.equal(resolve(dirname(path), schema), join(PACKAGE_ROOT, 'schema', 'gantryd.schema.json'));
  });

  test(`${file} is told about in its folder's README and run by an end-to-end test`, () => {
    const story = dirname(file);
    assert.match(readFileSync(join(FOLDER, story, 'README.md'), 'utf8'), new RegExp(basename(file)));
    const tests = [`example-${story}.test.ts`, `${story}.test.ts`].map((name) => join('test', 'e2e', name));
    assert.ok(tests.some((name) => existsSync(join(PACKAGE_ROOT, name))));
  });
}
