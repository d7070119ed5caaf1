import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compiled, loadPackage } from '../src/packages.ts';
import { PACKAGE_ROOT } from '../src/version.ts';

const HERE = new URL('../src/', import.meta.url);
const FILES = ['etcd3', 'yargs', 'dockerode'].map((name) =>
  join(PACKAGE_ROOT, 'dist', 'packages', `${name}.cjs`),
);
const PROGRAMS = ['main', 'proxy'].map((name) => join(PACKAGE_ROOT, 'dist', 'program', `${name}.cjs`));
const HOUR_S = 3_600;

const folder = mkdtempSync(join(tmpdir(), 'packages-'));
after(() => rmSync(folder, { recursive: true }));

test('a package that the build makes one file of comes from that file', () => {
  const whole = () => assert.fail('loaded whole');
  const { Etcd3 } = loadPackage<{ Etcd3?: unknown }>('etcd3', whole);
  assert.equal(typeof Etcd3, 'function');
  for (const name of ['yargs', 'dockerode']) assert.equal(typeof loadPackage(name, whole), 'function');
});

test('what V8 made of it in the build is taken, and of what it does not take it makes the same', () => {
  for (const file of [...FILES, ...PROGRAMS]) {
    assert.equal(compiled(file, readFileSync(`${file}.v8`)).cachedDataRejected, false, file);
    assert.equal(compiled(file, Buffer.from('other')).cachedDataRejected, true, file);
  }
});

test('agents, which run with other flags of V8, have one that is taken under these', () => {
  const script = `
    const { readFileSync } = await import('node:fs');
    const { compiled, compiledFile } = await import('${new URL('packages.js', HERE)}');
    (await import('${new URL('young-heap.js', HERE)}')).keepYoungHeapSmall();
    for (const file of process.argv.slice(1))
      console.log(compiled(file, readFileSync(compiledFile(file))).cachedDataRejected);`;
  const told = execFileSync(process.execPath, ['--input-type=module', '-e', script, '--', ...FILES]);
  assert.deepEqual(told.toString().trim().split('\n'), ['false', 'false', 'false']);
});

test('any other one is loaded as it is', () => {
  const { EventEmitter } = loadPackage('events', (require) => require('node:events'));
  assert.equal(typeof EventEmitter, 'function');
});

test('a program comes from the file that the build made of it, unless the compiler has written since', async () => {
  const [src, made] = [join(folder, 'dist', 'src'), join(folder, 'dist', 'program')];
  for (const path of [src, made]) mkdirSync(path, { recursive: true });
  for (const name of ['packages.js', 'version.js', 'young-heap.js'])
    copyFileSync(fileURLToPath(new URL(name, HERE)), join(src, name));
  writeFileSync(join(folder, 'package.json'), '{"type": "module", "version": "1.0.0"}');
  const file = join(made, 'main.cjs');
  writeFileSync(file, 'module.exports = { made: true };');
  const { loadProgram } = await import(pathToFileURL(join(src, 'packages.js')).href);

  assert.deepEqual(loadProgram('main'), { made: true });
  assert.equal(loadProgram('other'), undefined);
  const record = join(folder, 'dist', '.tsbuildinfo');
  writeFileSync(record, '');
  const now = Date.now() / 1000;
  utimesSync(record, now - HOUR_S, now - HOUR_S);
  assert.deepEqual(loadProgram('main'), { made: true });
  utimesSync(record, now + HOUR_S, now + HOUR_S);
  assert.equal(loadProgram('main'), undefined);
});

test('what was begun before the program was loaded is not done again in it', () => {
  const toNobody = 'exec "$0" "$1" job run --help > /dev/full';
  const env = { ...process.env, GANTRYD_STATE_DIR: folder };
  const args = ['-c', toNobody, process.execPath, join(PACKAGE_ROOT, 'bin', 'gantry.js')];
  const { status, stderr } = spawnSync('sh', args, { env, encoding: 'utf8' });
  assert.match(stderr, /^Error: the output could not be written: .*\n$/);
  assert.equal(status, 1);
});
