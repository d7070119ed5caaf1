import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunState, RunValue } from '../../src/cluster/job-values.ts';
import { SCHEDULE_HISTORY } from '../../src/config/job.ts';
import { expired } from '../../src/jobs/expired.ts';
import { AT, aRun } from './job-values.ts';

const HOUR = 3_600_000;

test('a run is kept as long as its job says', () => {
  const runs = [endedRun('young', AT - HOUR), endedRun('old', AT - HOUR - 1)];
  assert.deepEqual(gone(runs), ['old']);
});

test('a schedule keeps its newest runs whatever their age, and no older ones however young', () => {
  const runs = ticks(SCHEDULE_HISTORY + 2, 'complete', -1_000 * HOUR);
  assert.deepEqual(gone(runs), ['complete-1', 'complete-0']);
});

test('ticks that were skipped do not push out runs', () => {
  const runs = [...ticks(3, 'complete', -1_000), ...ticks(SCHEDULE_HISTORY + 5, 'skipped', 0)];
  assert.deepEqual(gone(runs), ['skipped-4', 'skipped-3', 'skipped-2', 'skipped-1', 'skipped-0']);
});

test('what is left of a schedule that is gone is kept as any other run', () => {
  const runs = [...ticks(2, 'complete', 0), ...ticks(2, 'failed', -2 * HOUR)];
  assert.deepEqual(
    gone(runs, () => false),
    ['failed-0', 'failed-1'],
  );
});

function gone(ended: readonly RunValue[], hasSchedule = () => true): readonly string[] {
  return expired({ ended, hasSchedule, now: AT }).map(({ id }) => id);
}

function endedRun(id: string, endedAt: number, over: Partial<RunValue> = {}): RunValue {
  return aRun({ keepMs: HOUR }, { id, state: 'complete', endedAt: new Date(endedAt).toISOString(), ...over });
}

/** Of the schedule `nightly`, a millisecond apart. */
function ticks(count: number, state: RunState, fromMs: number): readonly RunValue[] {
  return Array.from({ length: count }, (_, i) => {
    const at = AT + fromMs + i;
    const schedule = { name: 'nightly', instant: new Date(at).toISOString() };
    return endedRun(`${state}-${i}`, at, { state, schedule });
  });
}
