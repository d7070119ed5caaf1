/** What waits is not moved by somebody who sets the clock, and wakes with the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { steadyNow, untilTogether } from '../src/clock.ts';

const HOUR_MS = 3_600_000;

test('goes with the clock of the beginning, and not with a step of it', (t) => {
  assert.ok(Math.abs(steadyNow() - Date.now()) < 60_000);
  const before = steadyNow();
  t.mock.method(Date, 'now', () => before + HOUR_MS);
  const after = steadyNow();
  assert.ok(after >= before && after - before < HOUR_MS / 2, `${after - before} ms have passed`);
  assert.ok(Number.isInteger(after));
});

test('all of a process comes to the same moments, and not twice to one that is but milliseconds away', () => {
  assert.equal(untilTogether(10_000, 12_500), 7_500);
  assert.equal(untilTogether(10_000, 20_000), 10_000);
  assert.equal(untilTogether(10_000, 19_999), 10_001);
});
