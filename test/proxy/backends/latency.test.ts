import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundMs, bucketOf, mergedLatency, percentileMs } from '../../../src/proxy/backends/latency.ts';

function counted(...tookMs: readonly number[]): number[] {
  const counts: number[] = Array.from({ length: 242 }, () => 0);
  for (const ms of tookMs) counts[bucketOf(ms)] = (counts[bucketOf(ms)] ?? 0) + 1;
  return counts;
}

test('a bucket holds what is above the bound before it, up to its own', () => {
  assert.equal(bucketOf(0), 0);
  assert.equal(bucketOf(0.1), 0);
  for (let bucket = 1; bucket <= 240; bucket++) {
    assert.equal(bucketOf(boundMs(bucket)), bucket, `bound ${bucket}`);
    assert.equal(bucketOf(boundMs(bucket - 1) * 1.001), bucket, `just above bound ${bucket - 1}`);
  }
  assert.ok(Math.abs(boundMs(240) - 100_000) < 0.001);
  assert.deepEqual([bucketOf(100_001), bucketOf(1e9), boundMs(241)], [241, 241, boundMs(240)]);
});

test('what is read from the buckets is at most 6 % more than what was put in', () => {
  for (const ms of [0.11, 0.5, 1, 3.3, 12, 99, 100, 1_234, 45_678]) {
    const read = percentileMs(counted(ms), 0.99) ?? 0;
    assert.ok(read >= ms * 0.9999 && read <= ms * 1.06, `${ms} read as ${read}`);
  }
});

test('the percentile is what that share of the answers did not exceed', () => {
  const hundred = counted(...Array.from({ length: 99 }, () => 1), 500);
  assert.ok(Math.abs((percentileMs(hundred, 0.99) ?? 0) - 1) < 0.1);
  assert.ok((percentileMs(hundred, 1) ?? 0) >= 500);
  assert.equal(percentileMs([], 0.99), undefined);
  assert.equal(percentileMs([0, 0], 0.99), undefined);
});

test('counts of several processes add up, however long they are', () => {
  assert.deepEqual(mergedLatency([[1, 2], [], [0, 1, 4]]), [1, 3, 4]);
  assert.deepEqual(mergedLatency([]), []);
});
