import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { within } from '../src/deadline.ts';

const LONG_MS = 60_000;

test('a wait ends in its time, also when garbage is collected meanwhile', async (t) => {
  const alive = setInterval(() => undefined, LONG_MS);
  t.after(() => clearInterval(alive));
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const other = new AbortController();
  const ended = (() => once(within(200, other.signal), 'abort'))();
  for (let i = 0; i < 2; i++) {
    await sleep(10);
    collect();
  }
  await ended;
});

test('or with the first of its signals', () => {
  const [one, two] = [new AbortController(), new AbortController()];
  const bound = within(LONG_MS, one.signal, two.signal);
  assert.equal(bound.aborted, false);
  two.abort();
  assert.equal(bound.aborted, true);
});
