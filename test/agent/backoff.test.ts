import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS, backoffMs } from '../../src/agent/backoff.ts';

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
