import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readClaim, readCursor, readExecutor, readRun, readSchedule } from '../../src/cluster/job-values.ts';
import { aRun, aSchedule } from '../jobs/job-values.ts';

type Read = (entry: { value: string } | undefined) => unknown;

const AT = '2026-01-02T03:04:05.000Z';

/** What gantryd writes, with one field that it does not write so. */
const WRITTEN: readonly (readonly [string, Read, object, object])[] = [
  ['run', readRun, aRun(), { state: 'sleeping' }],
  ['run', readRun, aRun(), { steps: [{ state: 'unknown' }] }],
  ['run', readRun, aRun(), { job: { ...aRun().job, steps: [] } }],
  ['run', readRun, aRun(), { attempt: -1 }],
  [
    'claim',
    readClaim,
    { format: 1, run: 'a.1', host: 'h1', hostId: 'i1', attempt: 1 },
    { hostId: undefined },
  ],
  [
    'executor',
    readExecutor,
    {
      ...{ format: 1, host: 'h1', hostId: 'i1', address: '10.0.0.1', port: 0, token: 't' },
      ...{ labels: { zone: 'eu' }, slots: 2, since: AT },
    },
    { labels: { zone: 1 } },
  ],
  [
    'schedule',
    readSchedule,
    { format: 1, schedule: aSchedule(), by: 'a@b', at: AT },
    { schedule: { ...aSchedule(), overlap: 'sometimes' } },
  ],
  ['cursor', readCursor, { format: 1, instant: AT }, { instant: 'yesterday' }],
];

describe('the values of jobs', () => {
  for (const [name, read, value, damage] of WRITTEN)
    test(`${name}: read as it was written, and not at all with ${Object.keys(damage)} damaged`, () => {
      assert.deepEqual(read({ value: JSON.stringify(value) }), value);
      for (const other of [{ ...value, ...damage }, { ...value, format: 2 }, []])
        assert.equal(read({ value: JSON.stringify(other) }), undefined);
      assert.equal(read(undefined), undefined);
    });
});
