import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import Module from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { Script } from 'node:vm';
import { loadPackage } from '../src/packages.ts';
import { PACKAGE_ROOT } from '../src/version.ts';

const FILES = ['etcd3', 'yargs', 'dockerode'].map((name) =>
  join(PACKAGE_ROOT, 'dist', 'packages', `${name}.cjs`),
);
const YOUNG_HEAP = new URL('../src/young-heap.js', import.meta.url).href;

test('a package that the build makes one file of comes from that file', () => {
  const whole = () => assert.fail('loaded whole');
  const { Etcd3 } = loadPackage<{ Etcd3?: unknown }>('etcd3', whole);
  assert.equal(typeof Etcd3, 'function');
  for (const name of ['yargs', 'dockerode']) assert.equal(typeof loadPackage(name, whole), 'function');
});

test('what V8 made of it in the build is taken, and of what it does not take it makes the same', () => {
  for (const file of FILES) {
    const code = Module.wrap(readFileSync(file, 'utf8'));
    const rejects = (cachedData: Buffer) => new Script(code, { cachedData }).cachedDataRejected;
    assert.deepEqual(
      [rejects(readFileSync(`${file}.v8`)), rejects(Buffer.from('other'))],
      [false, true],
      file,
    );
  }
});

test('agents, which run with other flags of V8, have one that is taken under these', () => {
  const script = `
    const { readFileSync } = await import('node:fs');
    const { wrap } = (await import('node:module')).default;
    const { Script } = await import('node:vm');
    (await import('${YOUNG_HEAP}')).keepYoungHeapSmall();
    for (const file of process.argv.slice(1)) {
      const cachedData = readFileSync(file + '.small.v8');
      console.log(new Script(wrap(readFileSync(file, 'utf8')), { cachedData }).cachedDataRejected);
    }`;
  const told = execFileSync(process.execPath, ['--input-type=module', '-e', script, '--', ...FILES]);
  assert.deepEqual(told.toString().trim().split('\n'), ['false', 'false', 'false']);
});

test('any other one is loaded as it is', () => {
  const { EventEmitter } = loadPackage('events', (require) => require('node:events'));
  assert.equal(typeof EventEmitter, 'function');
});
