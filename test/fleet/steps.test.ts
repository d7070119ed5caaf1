/** What a step is decided from, and what it does to the record. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serves } from '../../src/fleet/steps.ts';
import { created, draining, exited, ready, seen, serving, unhealthy } from '../agent/builders.ts';

test('a host serves while something is routed, or is only to be put back into a table that was lost', () => {
  assert.equal(serves(seen([serving('x', 1)])), true);
  assert.equal(serves(seen([unhealthy('x', 1), exited('y', 1)])), true);
  assert.equal(serves(seen([ready('x', 1, { served: true })])), true);
  for (const none of [created('x', 1), ready('x', 1), draining('x', 1), exited('x', 1, { served: true })]) {
    assert.equal(serves(seen([none])), false, none.name);
  }
  assert.equal(serves(seen([ready('x', 1, { served: true, busy: true })])), false);
});
