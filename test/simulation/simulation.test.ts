/** The pure core through thousands of seeded histories; a failure prints its seed, which replays it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simulate, words } from './run.ts';

const HISTORIES = Number(process.env.GANTRYD_HISTORIES ?? 10_000);
const FIRST = Number(process.env.GANTRYD_SEED ?? 1);

test(`${HISTORIES} histories keep the promises, and come to rest once faults cease`, () => {
  const { failed } = simulate(FIRST, HISTORIES);
  if (failed !== undefined) assert.fail(words(failed));
});
