/** The pure core on one host through the even ones of thousands of seeded histories; a failure prints its seed, which replays it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOfFleet } from './history.ts';
import { HISTORIES, SEED, simulate, words } from './run.ts';

test(`one host keeps its promises in the even ones of ${HISTORIES} histories, and comes to rest once faults cease`, () => {
  const { failed } = simulate(SEED, HISTORIES, undefined, (seed) => !isOfFleet(seed) && seed % 2 === 0);
  if (failed !== undefined) assert.fail(words(failed));
});
