import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Write } from '../../../src/cluster/store.ts';
import { Backlog } from '../../../src/fleet/events/backlog.ts';

const write = (key: string): Write => ({ kind: 'put', key, value: '' });

/** What a store that refuses these takes, by its keys, and in how many tries. */
function drained(backlog: Backlog, isRefused: (key: string) => boolean, mostTries = 100) {
  const [taken, givenUp]: [string[], string[]] = [[], []];
  let tries = 0;
  for (; !backlog.isEmpty && tries < mostTries; tries++) {
    const some = backlog.next();
    const keys = some.map(({ key }) => key);
    if (!keys.some(isRefused)) {
      backlog.taken(some);
      taken.push(...keys);
    } else if (backlog.refused(some) === 'given-up') givenUp.push(...keys);
  }
  return { taken, givenUp, tries };
}

function filled(count: number): Backlog {
  const backlog = new Backlog({ most: 1_000, atOnce: 100 });
  for (let i = 0; i < count; i++) backlog.add(write(`${i}`));
  return backlog;
}

describe('A backlog', () => {
  test('is taken in its order, so many at once', () => {
    const { taken, tries } = drained(filled(250), () => false);
    assert.deepEqual([taken, tries], [Array.from({ length: 250 }, (_, i) => `${i}`), 3]);
  });

  test('gives up what waited longest for what is new', () => {
    const backlog = new Backlog({ most: 2, atOnce: 2 });
    assert.deepEqual(
      [1, 2, 3].map((i) => backlog.add(write(`${i}`))),
      [true, true, false],
    );
    assert.deepEqual(drained(backlog, () => false).taken, ['2', '3']);
  });

  test('loses nothing but what is refused, wherever it is and however many', () => {
    for (const bad of [['0'], ['99'], ['149'], ['3', '4', '120'], ['0', '149']]) {
      const { taken, givenUp, tries } = drained(filled(150), (key) => bad.includes(key));
      assert.deepEqual([taken.length, givenUp.sort()], [150 - bad.length, [...bad].sort()]);
      assert.ok(tries < 60, `${tries} tries`);
    }
  });

  test('gives up nothing while all are refused', () => {
    const backlog = filled(20);
    assert.deepEqual(drained(backlog, () => true, 500).givenUp, []);
    assert.equal(drained(backlog, () => false).taken.length, 20);
  });
});
