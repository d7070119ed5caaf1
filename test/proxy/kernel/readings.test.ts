import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Readings } from '../../../src/proxy/kernel/readings.ts';

/** Readings that end when they are told to. */
function slow() {
  const ends: ((error?: Error) => void)[] = [];
  const readings = new Readings(
    () =>
      new Promise((resolve, reject) => {
        ends.push((error) => (error === undefined ? resolve() : reject(error)));
      }),
  );
  return { ends, readings };
}

test('who asks while it is read shares the next one with all others that do', async () => {
  const { ends, readings } = slow();
  const first = readings.since(performance.now());
  await turn();
  const later = Array.from({ length: 20 }, () => readings.since(performance.now()));
  await turn();
  assert.equal(ends.length, 1);
  ends[0]?.();
  await first;
  await turn();
  assert.equal(ends.length, 2);
  ends[1]?.();
  await Promise.all(later);
  assert.equal(ends.length, 2);
});

test('what was read late enough is not read again', async () => {
  const { ends, readings } = slow();
  const before = performance.now();
  const first = readings.since(before);
  await turn();
  const same = readings.since(before);
  ends[0]?.();
  await Promise.all([first, same, readings.since(before)]);
  assert.equal(ends.length, 1);
  const next = readings.since(performance.now());
  await turn();
  ends[1]?.();
  await next;
  assert.equal(ends.length, 2);
});

test('a reading that fails is told to those who waited for it, and to nobody later', async () => {
  const { ends, readings } = slow();
  const failing = readings.since(performance.now());
  await turn();
  const next = readings.since(performance.now());
  ends[0]?.(new Error('torn'));
  await assert.rejects(failing, /torn/);
  await turn();
  ends[1]?.();
  await next;
});
