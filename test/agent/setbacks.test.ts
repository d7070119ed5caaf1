import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ObservedContainer } from '../../src/agent/plan/state.ts';
import { Setbacks } from '../../src/agent/setbacks.ts';
import {
  draining,
  exited,
  late,
  NOW,
  proven,
  release,
  serving,
  starting,
  unhealthy,
  unwanted,
  wanted,
} from './builders.ts';

const three = wanted(proven(1, { instances: 3 }));

/** What is told of each look, one after the other. */
function told(desired: typeof three, ...looks: readonly (readonly ObservedContainer[])[]) {
  const setbacks = new Setbacks(() => 0);
  return looks.map((containers) => setbacks.massFailure(desired, containers)?.why);
}

describe('a mass failure', () => {
  const [a, b, c] = [serving('a', 1), serving('b', 1), serving('c', 1)];

  test('is that more than half failed, with what became of them', () => {
    const containers = [exited('a', 1), unhealthy('b', 1), c];
    assert.deepEqual(new Setbacks(() => 0).massFailure(three, containers), {
      failed: 2,
      instances: 3,
      why: 'a exited; b is unhealthy: it answered 500',
    });
  });

  test('is also one that comes while another is being replaced', () => {
    const lastly = 'b was not ready in time: nothing listens';
    assert.deepEqual(told(three, [starting('a2', 1), late('b', 1), c]), [lastly]);
  });

  test('is told once, and again only when all served between', () => {
    const down = [exited('a', 1), exited('b', 1), c];
    const half = [starting('a2', 1), exited('b', 1), c];
    const why = 'a exited; b exited';
    assert.deepEqual(told(three, down, down, half, down, [a, b, c], down), [
      ...[why, undefined, undefined, undefined, undefined, why],
    ]);
  });

  test('is none of a half or less, nor of the only one', () => {
    assert.deepEqual(told(wanted(proven(1, { instances: 2 })), [exited('a', 1), b]), [undefined]);
    assert.deepEqual(told(wanted(proven(1)), [exited('a', 1)]), [undefined]);
  });

  test('is none of those that are still to come where more are wanted', () => {
    const setbacks = new Setbacks(() => 0);
    const of = (instances: number, ...containers: ObservedContainer[]) =>
      setbacks.massFailure(wanted(proven(1, { instances })), containers)?.failed;
    assert.equal(of(2, a, b), undefined);
    assert.equal(of(6, exited('a', 1), b, starting('c', 1), starting('d', 1)), undefined, 'one of two');
    assert.equal(of(6, exited('a', 1), late('c', 1), late('d', 1), late('e', 1)), 4);
  });

  test('is none of what was asked to go, has not served yet, or is on its way', () => {
    assert.deepEqual(told(unwanted('killed', proven(1, { instances: 3 })), [exited('a', 1)]), [undefined]);
    assert.deepEqual(told(wanted(release(1, { instances: 3 })), [exited('a', 1), exited('b', 1)]), [
      undefined,
    ]);
    assert.deepEqual(told(three, [draining('a', 1), draining('b', 1), starting('c', 1)]), [undefined]);
  });
});

describe('failures in a row', () => {
  test('are counted with the time of the next try, and forgiven to another release', () => {
    const setbacks = new Setbacks(() => 1);
    setbacks.note(three, [exited('a', 1)], NOW);
    assert.deepEqual(setbacks.standing, { startAfter: NOW, failures: 1 });
    setbacks.note(three, [exited('b', 1)], NOW + 100);
    assert.deepEqual(setbacks.standing, { startAfter: NOW + 600, failures: 2 });
    setbacks.note(wanted(proven(2)), [], NOW + 200);
    assert.deepEqual(setbacks.standing, { startAfter: 0, failures: 0 });
  });
});
