/** What a record says of a trial, from its beginning to its end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOnTrial, isTried, withCanary, withPromoted } from '../../../src/agent/plan/canary-mark.ts';
import {
  type ComponentRecord,
  desiredOf,
  withFailedRelease,
  withProven,
  withRelease,
  withTakenBack,
} from '../../../src/agent/record.ts';
import { proven, release } from '../builders.ts';

const FIRST: ComponentRecord = {
  format: 1,
  status: 'ready',
  release: 1,
  releases: [proven(1)],
  marks: {},
  linkPorts: {},
};
const MADE = withRelease(FIRST, release(2));
const BEGUN = withCanary(MADE, 1000);

function canaryOf(record: ComponentRecord) {
  return desiredOf('shop', 'web', record).canary;
}

test('a trial begins once, whoever goes on with it', () => {
  assert.equal(canaryOf(MADE), undefined);
  assert.deepEqual(canaryOf(BEGUN), { since: 1000, promoted: false });
  assert.equal(withCanary(BEGUN, 2000), BEGUN);
  assert.deepEqual([MADE, BEGUN].map(isOnTrial), [false, true]);
});

test('a release that is promoted is not on trial any more', () => {
  const promoted = withPromoted(BEGUN, 2, 5000);
  assert.deepEqual(canaryOf(promoted), { since: 1000, promoted: true });
  assert.equal(isOnTrial(promoted), false);
  assert.equal(withPromoted(BEGUN, 7, 5000), BEGUN);
});

test('one that another host has tried out is promoted from the first', () => {
  assert.deepEqual(canaryOf(withPromoted(MADE, 2, 5000)), { since: 5000, promoted: true });
});

test('a release that was promoted is known as tried when it serves', () => {
  const served = withProven(withPromoted(BEGUN, 2, 5000), 2);
  assert.deepEqual([BEGUN, served].map(isTried), [false, true]);
  assert.equal(canaryOf(served), undefined);
});

test('nothing is left of it once the release is given up, taken back or followed by another', () => {
  const ends = [
    withProven(BEGUN, 2),
    withFailedRelease(BEGUN, 2, 'bad'),
    withTakenBack(BEGUN),
    withRelease(BEGUN, release(3)),
  ];
  assert.deepEqual(
    ends.map((record) => record.canary),
    ends.map(() => undefined),
  );
  assert.equal(
    desiredOf('shop', 'web', ends[3] ?? FIRST).previous?.number,
    1,
    'a part of it is not a release before',
  );
});
