/** How many containers a host remembers that are to be on it, through releases that come, fail and go back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type ComponentRecord,
  desiredOf,
  EMPTY_RECORD,
  withAdopted,
  withFailedRelease,
  withProven,
  withRelease,
} from '../../src/agent/record.ts';
import type { ScaleMemory } from '../../src/agent/scale.ts';
import { proven, release } from './builders.ts';

const FLEET = { generation: 2, attempt: 1, settled: 1 };

function scaled(scale: Partial<ScaleMemory>, over: Partial<ComponentRecord> = {}): ComponentRecord {
  const record = {
    ...EMPTY_RECORD,
    status: 'ready',
    release: 1,
    releases: [proven(1, { instances: 2 })],
  } as const;
  return { ...record, scale: { number: 1, decision: 0, ...scale }, ...over };
}

/** Containers of the desired release, and of the one before. */
function sizes(record: ComponentRecord): readonly (number | undefined)[] {
  const { release, previous } = desiredOf('shop', 'web', record);
  return [release?.component.instances, previous?.component.instances];
}

describe('a number that was asked for', () => {
  test('wins over what the release says, and over what the next one says if that is the same', () => {
    assert.deepEqual(sizes(scaled({ instances: 5 })), [5, undefined]);
    assert.deepEqual(sizes(withRelease(scaled({ instances: 5 }), release(2, { instances: 2 }))), [5, 5]);
  });

  test('ends with a release that says another, but not for the one before while that may serve again', () => {
    const next = withRelease(scaled({ instances: 5 }), release(2, { instances: 3 }));
    assert.deepEqual(sizes(next), [3, 5]);
    assert.deepEqual(sizes(withFailedRelease(next, 2, 'it failed')), [5, undefined]);
    const later = withRelease(withProven(next, 2), release(3, { instances: 3 }));
    assert.deepEqual(sizes(later), [3, 3]);
  });

  test('ends in a fleet when etcd has none any more, and its number is kept', () => {
    const next = withAdopted(scaled({ instances: 5 }, { fleet: FLEET }), release(2), FLEET, true);
    assert.deepEqual(sizes(next), [1, 5]);
    assert.deepEqual(next.scale, { number: 1, decision: 0, before: 5 });
    const kept = withAdopted(scaled({ instances: 5 }, { fleet: FLEET }), release(2), FLEET, false);
    assert.deepEqual(sizes(kept), [5, 5]);
  });
});

describe('what must never run twice', () => {
  test('has one container, whatever was asked for before it was so', () => {
    const one = release(2, { instances: 2 });
    const alone = {
      ...one,
      component: { ...one.component, update: { ...one.component.update, order: 'stop-first' } },
    };
    const next = withRelease(scaled({ instances: 5 }), alone as typeof one);
    assert.deepEqual(sizes(next), [1, 5]);
    const kept = withAdopted(scaled({ instances: 5 }, { fleet: FLEET }), alone as typeof one, FLEET);
    assert.deepEqual(sizes(kept), [1, 5]);
  });
});

describe('a total', () => {
  const six = { component: { ...proven(1).component, instances: 6, total: 6 } };
  const releases = [proven(1, six)];

  test("is all of it on a host by itself, and the host's share in a fleet", () => {
    assert.deepEqual(sizes({ ...EMPTY_RECORD, status: 'ready', release: 1, releases }), [6, undefined]);
    const shared = scaled({ decision: 1, share: 2 }, { releases, fleet: FLEET });
    assert.deepEqual(sizes(shared), [2, undefined]);
    assert.deepEqual(sizes(scaled({ decision: 1, share: 0 }, { releases, fleet: FLEET })), [0, undefined]);
  });

  test('is of no concern to a release that has none', () => {
    assert.deepEqual(sizes(scaled({ decision: 1, share: 4 }, { fleet: FLEET })), [2, undefined]);
    const asked = scaled({ decision: 1, share: 4, instances: { total: 8 } }, { fleet: FLEET });
    assert.deepEqual(sizes(asked), [4, undefined]);
  });
});
