import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { SharedTimers } from '../../src/checks/monitor-clock.ts';

/** The time of the clock and of Node's timers, moved by hand. */
function stopped(t: TestContext) {
  let now = 5;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.mock.method(performance, 'now', () => now);
  const pass = (ms: number) => {
    now += ms;
    t.mock.timers.tick(ms);
  };
  return { clock: new SharedTimers(), pass };
}

test('whoever waits for the same millisecond is called by one timer', (t) => {
  const { clock, pass } = stopped(t);
  const begun = t.mock.method(globalThis, 'setTimeout');
  const called: string[] = [];
  clock.setTimeout(() => called.push('a'), 100);
  clock.setTimeout(() => called.push('later'), 101);
  pass(40);
  clock.setTimeout(() => called.push('b'), 60);
  assert.equal(begun.mock.callCount(), 2);
  pass(59);
  assert.deepEqual(called, []);
  pass(1);
  assert.deepEqual(called, ['a', 'b']);
  pass(1);
  assert.deepEqual(called, ['a', 'b', 'later']);
});

test('one who is not to be called any more keeps nobody else from it, and no timer', (t) => {
  const { clock, pass } = stopped(t);
  const cleared = t.mock.method(globalThis, 'clearTimeout');
  const called: string[] = [];
  const first = clock.setTimeout(() => called.push('a'), 100);
  const second = clock.setTimeout(() => called.push('b'), 100);
  const alone = clock.setTimeout(() => called.push('c'), 50);
  clock.clearTimeout(first);
  clock.clearTimeout(alone);
  assert.equal(cleared.mock.callCount(), 1);
  pass(100);
  assert.deepEqual(called, ['b']);
  clock.clearTimeout(second);
  clock.setTimeout(() => called.push('d'), 10);
  pass(10);
  assert.deepEqual(called, ['b', 'd']);
});
