/** Reading project files from disk: every way it fails, and what a valid one costs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { loadProject, MAX_FILE_BYTES, problemsOf } from '../../src/config/load.ts';
import { type ErrorCode, GantryError } from '../../src/errors.ts';

const MINIMAL = '{"components":[{"name":"web","repo":"nginx"}]}';
const NOBODY = 65_534;
let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gantryd-config-'));
});

after(() => rm(folder, { recursive: true, force: true }));

async function refusal(path: string, code: ErrorCode): Promise<GantryError> {
  const error = await loadProject(path).then(
    () => assert.fail('it loaded'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof GantryError, String(error));
  assert.equal(error.code, code);
  return error;
}

test('a valid file loads, with overrides counted from the component', async () => {
  const path = join(folder, 'shop.json');
  await writeFile(path, MINIMAL);
  const project = await loadProject(path, ['tag=v2'], { component: 'web' });
  assert.equal(project.name, 'shop');
  assert.equal(project.components[0]?.image, 'nginx:v2');
});

test('a file called what every project calls it is named after its folder', async () => {
  const shop = join(folder, 'shop-folder');
  await mkdir(shop);
  const path = join(shop, 'gantry.json');
  await writeFile(path, MINIMAL);
  assert.equal((await loadProject(path)).name, 'shop-folder');
});

test('a missing file names where it was looked for and what is there', async () => {
  await writeFile(join(folder, 'project.json'), MINIMAL);
  const path = join(folder, 'projcet.json');
  const error = await refusal(path, 'config-unreadable');
  assert.equal(error.message, `the project file ${path} does not exist (looked at ${path})`);
  assert.equal(error.hint, 'Did you mean project.json?');
  await refusal(join(folder, 'nowhere', 'x.json'), 'config-unreadable');
  await refusal(join(folder, 'project.json', 'x.json'), 'config-unreadable');
});

test('a folder, a device, a huge file and a file that is no text are refused', async () => {
  assert.match((await refusal(folder, 'config-unreadable')).message, /is a folder/);
  assert.match((await refusal('/dev/null', 'config-unreadable')).message, /is no regular file/);
  const pipe = join(folder, 'pipe.json');
  await promisify(execFile)('mkfifo', [pipe]);
  assert.match((await refusal(pipe, 'config-unreadable')).message, /is no regular file/);
  const path = join(folder, 'odd.json');
  await writeFile(path, '');
  await truncate(path, MAX_FILE_BYTES + 1);
  assert.match((await refusal(path, 'config-unreadable')).message, /is larger than 4194304 bytes/);
  await writeFile(path, Buffer.from([0xff, 0xfe, 0x7b, 0x00]));
  assert.match((await refusal(path, 'config-unreadable')).message, /is not UTF-8 text/);
});

test('a file without permission is refused', async () => {
  const path = join(folder, 'secret.json');
  await writeFile(path, MINIMAL);
  await chmod(path, 0);
  const isRoot = process.getuid?.() === 0;
  // Root may read everything: become nobody for the one call.
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    assert.match((await refusal(path, 'config-unreadable')).message, /may not be read by this user/);
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

test('an invalid file lists every problem on a line of its own', async () => {
  const path = join(folder, 'bad.json');
  await writeFile(path, '{"components":[{"name":"web","repo":"nginx",\n"instances":"2","tga":"x"}]}');
  const error = await refusal(path, 'config-invalid');
  assert.deepEqual(error.message.split('\n'), [
    `${path} has 2 problems:`,
    `  ${path}:2:13  /components/0/instances: must be a whole number or {"total": …}: write 2 without quotes (is: "2")`,
    `  ${path}:2:17  /components/0/tga: unknown field; did you mean "tag"? (is: "x")`,
  ]);
  assert.match(error.hint ?? '', /gantry .* check/);
  assert.deepEqual(problemsOf(error)[0], {
    pointer: '/components/0/instances',
    message: 'must be a whole number or {"total": …}: write 2 without quotes',
    value: '"2"',
    line: 2,
    column: 13,
  });
});

test('very many problems are counted, not all listed', async () => {
  const path = join(folder, 'many.json');
  await writeFile(path, JSON.stringify({ components: Array.from({ length: 500 }, () => 1) }));
  const error = await refusal(path, 'config-invalid');
  assert.equal(problemsOf(error).length, 500);
  assert.equal(error.message.split('\n').length, 52);
  assert.match(error.message, /and 450 more$/);
});

/** Packages that a process which loads the file has in memory afterwards; CommonJS ones, as ajv and yaml are. */
async function packagesLoadedFor(path: string): Promise<string[]> {
  const script = `
    import { createRequire } from 'node:module';
    const { loadProject } = await import(process.env.LOAD);
    await loadProject(process.env.PROJECT);
    const names = Object.keys(createRequire(process.env.LOAD).cache).flatMap((file) => file.split('node_modules/')[1] ?? []);
    console.log(JSON.stringify([...new Set(names.map((name) => name.split('/')[0]))]));`;
  const load = new URL('../../src/config/load.js', import.meta.url).href;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, LOAD: load, PROJECT: path },
    timeout: 30_000,
  });
  return JSON.parse(stdout);
}

test('a JSON project loads no package at all; a YAML one loads yaml', async () => {
  const json = join(folder, 'fast.json');
  const yaml = join(folder, 'slow.yaml');
  await writeFile(json, MINIMAL);
  await writeFile(yaml, MINIMAL);
  assert.deepEqual(await packagesLoadedFor(json), []);
  assert.deepEqual(await packagesLoadedFor(yaml), ['yaml']);
});
