import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import Module from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { Script } from 'node:vm';
import { loadPackage } from '../src/packages.ts';
import { PACKAGE_ROOT } from '../src/version.ts';

test('a package that the build makes one file of comes from that file', () => {
  const whole = () => assert.fail('loaded whole');
  const { Etcd3 } = loadPackage<{ Etcd3?: unknown }>('etcd3', whole);
  assert.equal(typeof Etcd3, 'function');
  for (const name of ['yargs', 'dockerode']) assert.equal(typeof loadPackage(name, whole), 'function');
});

test('what V8 made of it in the build is taken, and of what it does not take it makes the same', () => {
  for (const name of ['etcd3', 'yargs', 'dockerode']) {
    const file = join(PACKAGE_ROOT, 'dist', 'packages', `${name}.cjs`);
    const code = Module.wrap(readFileSync(file, 'utf8'));
    const rejects = (cachedData: Buffer) => new Script(code, { cachedData }).cachedDataRejected;
    assert.deepEqual(
      [rejects(readFileSync(`${file}.v8`)), rejects(Buffer.from('other'))],
      [false, true],
      name,
    );
  }
});

test('any other one is loaded as it is', () => {
  const { EventEmitter } = loadPackage('events', (require) => require('node:events'));
  assert.equal(typeof EventEmitter, 'function');
});
