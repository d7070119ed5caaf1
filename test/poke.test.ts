import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Poke } from '../src/poke.ts';

const LONG_MS = 60_000;
const never = new AbortController().signal;

test('a poke wakes who waits', async () => {
  const poke = new Poke();
  const waiting = poke.wait(LONG_MS, never);
  poke.poke();
  await waiting;
  assert.equal(poke.poked, true);
});

test('a poke that comes before the wait is not lost', async () => {
  const poke = new Poke();
  poke.poke();
  await poke.wait(LONG_MS, never);
});

test('clear forgets the pokes so far, and the time bounds the wait', async () => {
  const poke = new Poke();
  poke.poke();
  poke.clear();
  const before = performance.now();
  await poke.wait(20, never);
  assert.equal(poke.poked, false);
  assert.ok(performance.now() - before >= 15);
});

test('an abort ends the wait without an error', async () => {
  const poke = new Poke();
  const controller = new AbortController();
  const waiting = poke.wait(LONG_MS, controller.signal);
  controller.abort();
  await waiting;
  await poke.wait(LONG_MS, controller.signal);
});
