import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS, backoffMs, backoffWords } from '../../src/agent/backoff.ts';

const most = () => 0.999_999;
const least = () => 0;

test('the first failure is replaced at once', () => {
  assert.equal(backoffMs(1, most), 0);
});

test('from the second failure on the wait doubles', () => {
  assert.deepEqual(
    [2, 3, 4, 5].map((n) => backoffMs(n, most)),
    [1, 2, 4, 8].map((n) => n * BACKOFF_FIRST_MS),
  );
});

test('the wait is bounded, however many failures there were', () => {
  assert.equal(backoffMs(1_000, most), BACKOFF_MAX_MS);
});

test('jitter takes at most half of the wait away', () => {
  assert.equal(backoffMs(3, least), BACKOFF_FIRST_MS);
});

test('in words it counts the failures and has the bound', () => {
  const words = [2, 3, 4, 11, 12, 21, 111].map((n) => backoffWords(n, 1_449).split(' ')[0]);
  assert.deepEqual(words, ['2nd', '3rd', '4th', '11th', '12th', '21st', '111th']);
  const whole = '3rd failure in a row, next try in 1.4 s; the pause doubles up to 60 s';
  assert.equal(backoffWords(3, 1_449), whole);
});
