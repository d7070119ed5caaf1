import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadPackage } from '../src/packages.ts';

test('a package that the build makes one file of comes from that file', () => {
  const whole = () => assert.fail('loaded whole');
  const { Etcd3 } = loadPackage<{ Etcd3?: unknown }>('etcd3', whole);
  assert.equal(typeof Etcd3, 'function');
  for (const name of ['yargs', 'dockerode']) assert.equal(typeof loadPackage(name, whole), 'function');
});

test('any other one is loaded as it is', () => {
  const { EventEmitter } = loadPackage('events', (require) => require('node:events'));
  assert.equal(typeof EventEmitter, 'function');
});
