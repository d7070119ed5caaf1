/** Which word is offered for a mistyped one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distance, suggest } from '../../src/config/suggest.ts';

test('distance counts edits and swaps of neighbours', () => {
  const cases: readonly (readonly [string, string, number])[] = [
    ['', 'abc', 3],
    ['abc', 'abc', 0],
    ['abc', 'acb', 1],
    ['port', 'ports', 1],
    ['kitten', 'sitting', 3],
  ];
  for (const [a, b, expected] of cases) {
    assert.equal(distance(a, b), expected, `${a} ${b}`);
    assert.equal(distance(b, a), expected, `${b} ${a}`);
  }
});

test('the closest word is offered, and none when all are far', () => {
  const words = ['ports', 'path', 'readyChecks', 'healthChecks'];
  assert.equal(suggest('prots', words), 'ports');
  assert.equal(suggest('READYCHECKS', words), 'readyChecks');
  assert.equal(suggest('healtChecks', words), 'healthChecks');
  assert.equal(suggest('zzz', words), undefined);
  assert.equal(suggest('', words), undefined);
  assert.equal(suggest('ports', ['ports']), undefined);
  assert.equal(suggest('x'.repeat(10_000), words), undefined);
});
