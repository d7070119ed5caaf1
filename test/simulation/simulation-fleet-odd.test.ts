/** The pure core on a fleet, which is every eighth of the histories, through the odd ones of these. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOfFleet } from './history.ts';
import { HISTORIES, SEED, simulate, words } from './run.ts';

test(`a fleet keeps its promises in the odd ones of every eighth of ${HISTORIES} histories, and comes to rest`, () => {
  const { failed } = simulate(SEED, HISTORIES, undefined, (seed) => isOfFleet(seed) && (seed / 8) % 2 === 1);
  if (failed !== undefined) assert.fail(words(failed));
});
