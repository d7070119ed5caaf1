/** Every file in examples that gantryd reads must be valid and name its schema; every example must be told and tested. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { loadProject } from '../src/config/load.ts';
import { loadJob, loadSchedules } from '../src/config/load-jobs.ts';
import { PACKAGE_ROOT } from '../src/version.ts';
import { tempFolder } from './ground/harness.ts';

const FOLDER = join(PACKAGE_ROOT, 'examples');
const E2E = join(PACKAGE_ROOT, 'test', 'e2e');
/** Read by Prometheus and Grafana, not by gantryd: test/metrics/docs.test.ts. */
const FOREIGN = /^monitoring\//;
const FILES = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter(
  (f) => /\.(json|ya?ml)$/.test(f) && !FOREIGN.test(f),
);
const E2E_TESTS = readdirSync(E2E).filter((name) => name.endsWith('.test.ts'));

/** Everything else is a project file. */
const JOBS = ['report/report.yaml', 'words/words.json'];
const SCHEDULES = ['backup/backup.yaml', 'docket/docket.yml'];
/** As the systems had them that gantryd takes them over from: they name no schema. */
const TAKEN_OVER = ['docket/docket.yml', 'words/words.json'];

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

test('there are project, job and schedule files', () => {
  for (const file of [...JOBS, ...SCHEDULES, ...TAKEN_OVER]) assert.ok(FILES.includes(file), file);
  assert.ok(FILES.length >= 10, FILES.join());
});

for (const file of FILES) {
  test(`${file} is valid`, async () => assert.ok((await partsOf(file)).length > 0));

  test(`${file} names the schema, unless it is in another system's format`, () => {
    const path = join(FOLDER, file);
    const named = /\$schema(?:": "|=)([^"\s]+)/.exec(readFileSync(path, 'utf8'))?.[1];
    if (TAKEN_OVER.includes(file)) return assert.equal(named, undefined);
    assert.equal(resolve(dirname(path), named ?? ''), join(PACKAGE_ROOT, 'schema', schemaOf(file)));
  });

  test(`${file} is told about in its folder's README and run by an end-to-end test`, () => {
    const story = dirname(file);
    assert.match(readFileSync(join(FOLDER, story, 'README.md'), 'utf8'), new RegExp(basename(file)));
    assert.ok(E2E_TESTS.some((name) => runs(name, story, file)));
  });
}

async function partsOf(file: string): Promise<readonly unknown[]> {
  const path = join(FOLDER, file);
  if (JOBS.includes(file)) return (await loadJob(path)).steps;
  if (SCHEDULES.includes(file)) return loadSchedules(path, { timeZone: 'UTC' });
  return (await loadProject(path)).components;
}

function schemaOf(file: string): string {
  if (JOBS.includes(file)) return 'job.schema.json';
  return SCHEDULES.includes(file) ? 'schedules.schema.json' : 'gantryd.schema.json';
}

/** A test is of one story, or names the file. */
function runs(name: string, story: string, file: string): boolean {
  if ([`example-${story}.test.ts`, `${story}.test.ts`].includes(name)) return true;
  return readFileSync(join(E2E, name), 'utf8').includes(`'${file}'`);
}
