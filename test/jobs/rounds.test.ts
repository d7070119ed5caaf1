import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rounds } from '../../src/jobs/rounds.ts';
import { ManualClock } from '../docker/fake-clock.ts';

function rounds(t: { after(run: () => Promise<void>): void }, look: (count: number) => Promise<number>) {
  const clock = new ManualClock(0);
  const looks: number[] = [];
  const troubles: unknown[] = [];
  const time = { wall: () => clock.now(), steady: () => clock.now(), after: clock.after.bind(clock) };
  const all = new Rounds({
    look: () => look(looks.push(clock.now())),
    onTrouble: (error) => troubles.push(error),
    clock: time,
  });
  const ended = new AbortController();
  const running = all.run(ended.signal);
  t.after(async () => {
    ended.abort();
    await running;
  });
  return { all, clock, looks, troubles, ended, running };
}

test('it is looked again when that was asked for, and at once when poked', async (t) => {
  const { all, clock, looks } = rounds(t, async () => 1_000);
  await clock.advance(2_500);
  assert.deepEqual(looks, [0, 1_000, 2_000]);
  all.poke();
  all.poke();
  await clock.advance(100);
  assert.deepEqual(looks, [0, 1_000, 2_000, 2_500]);
});

test('a poke that comes during a look is followed by another look', async (t) => {
  const ground = rounds(t, async (count) => {
    await Promise.resolve();
    if (count === 1) ground.all.poke();
    return 1_000;
  });
  await ground.clock.advance(10);
  assert.deepEqual(ground.looks, [0, 0]);
});

test('after a failure pokes do not hurry it, and the pauses grow', async (t) => {
  const { all, clock, looks, troubles } = rounds(t, async (count) => {
    if (count < 4) throw new Error(`failure ${count}`);
    return 60_000;
  });
  for (let i = 0; i < 40; i++) {
    all.poke();
    await clock.advance(100);
  }
  assert.deepEqual(looks.slice(0, 4), [0, 250, 750, 1_750]);
  assert.equal(troubles.length, 3);
});

test('it ends when aborted, and leaves no timer', async (t) => {
  const { clock, looks, ended, running } = rounds(t, async () => 1_000);
  await clock.advance(10);
  ended.abort();
  await running;
  await clock.advance(5_000);
  assert.deepEqual(looks, [0]);
});
