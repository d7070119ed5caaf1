/** When others have what a host that leaves had. How it leaves is in host.test.ts and scale.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SharesValue } from '../../../src/cluster/values.ts';
import { isTakenOver } from '../../../src/fleet/scale/taking-along.ts';
import { AT, container, status } from '../intents/intents-ground.ts';

const LEFT: SharesValue = {
  ...{ format: 1, number: 4, total: 6, shares: { a: 3, b: 3 } },
  ...{ host: 'a', why: 'c is gone', at: AT },
};

function has(host: string, serving: number, shares = 4) {
  const containers = Array.from({ length: serving }, () => container(1));
  return status(host, { containers, size: { wanted: 3, scale: 0, shares } });
}

const taken = (over: Partial<Parameters<typeof isTakenOver>[1]>) =>
  isTakenOver('c', { others: ['a', 'b'], statuses: [has('a', 3), has('b', 3)], shares: LEFT, ...over });

test('a share is taken over when it is decided who has it, and they say that it serves', () => {
  assert.equal(taken({}), true);
  assert.equal(taken({ shares: { ...LEFT, shares: { a: 2, b: 2, c: 2 } } }), false, 'not decided');
  assert.equal(taken({ statuses: [has('a', 3), has('b', 2)] }), false, 'not there yet');
  assert.equal(taken({ statuses: [has('a', 3), has('b', 3, 3)] }), false, 'has not heard of it');
  assert.equal(taken({ statuses: [has('a', 3)] }), false, 'tells nothing');
});

test('nobody is waited for where there is nobody, or nothing to share', () => {
  assert.equal(taken({ others: [], statuses: [] }), true);
  assert.equal(taken({ shares: undefined }), true);
});
