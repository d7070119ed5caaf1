import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LastRead } from '../src/last-read.ts';

test('equal texts in a row are read once, another one is read anew', () => {
  const read: string[] = [];
  const last = new LastRead((text) => {
    read.push(text);
    return JSON.parse(text) as unknown;
  });
  const first = last.of('{"a":1}');
  assert.equal(last.of('{"a":1}'), first);
  assert.deepEqual(last.of('{"a":2}'), { a: 2 });
  assert.deepEqual(last.of('{"a":1}'), { a: 1 });
  assert.deepEqual(read, ['{"a":1}', '{"a":2}', '{"a":1}']);
});

test('what cannot be read is tried again, and what was read before is forgotten by nobody', () => {
  const last = new LastRead((text) => JSON.parse(text) as unknown);
  const first = last.of('[]');
  assert.throws(() => last.of('['), SyntaxError);
  assert.throws(() => last.of('['), SyntaxError);
  assert.equal(last.of('[]'), first);
});
