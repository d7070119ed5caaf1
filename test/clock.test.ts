/** What waits is not moved by somebody who sets the clock. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { steadyNow } from '../src/clock.ts';

const HOUR_MS = 3_600_000;

test('goes with the clock of the beginning, and not with a step of it', (t) => {
  assert.ok(Math.abs(steadyNow() - Date.now()) < 60_000);
  const before = steadyNow();
  t.mock.method(Date, 'now', () => before + HOUR_MS);
  const after = steadyNow();
  assert.ok(after >= before && after - before < HOUR_MS / 2, `${after - before} ms have passed`);
  assert.ok(Number.isInteger(after));
});
