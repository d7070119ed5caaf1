import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Failure } from '../../src/cluster/etcd/etcd-failures.ts';
import { insist, type Outcome } from '../../src/cluster/insist.ts';
import { GantryError } from '../../src/errors.ts';

type Told = Outcome<string>;

const SETTLE_MS = 20;

test('the first try that is done is the answer, and nobody else is asked', async () => {
  const tries = script(done('a'));
  assert.equal(await tries.insist(), 'a');
  assert.equal(tries.asked, 1);
});

test('a refusal is the answer where no other try can have done it', async () => {
  assert.equal(await script(refused('no')).insist(), 'no');
  assert.equal(await script(unsent(), refused('no')).insist(), 'no');
});

test('after an answer that was lost another try may do it, and a refusal says nothing', async () => {
  assert.equal(await script(lost('cut'), done('b')).insist(), 'b');
  await assert.rejects(script(lost('cut'), refused('no')).insist(), /cut/);
  await assert.rejects(script(lost('cut'), final()).insist(), /cut/);
});

test('beside a try that is late another one is asked, and whichever does it answers', async () => {
  assert.equal(await script(later().promise, done('b')).insist(), 'b');
  const first = later();
  const tries = script(first.promise, refused('no'));
  const answer = tries.insist();
  await tries.until(2);
  first.resolve(done('a'));
  assert.equal(await answer, 'a', 'the refusal was of what the first had done');
});

test('a refusal waits for the tries that are open, and no more are made', async () => {
  const first = later();
  const tries = script(first.promise, refused('no'), done('never'));
  const answer = tries.insist();
  await tries.until(2);
  await setImmediate(); // the refusal is heard
  first.resolve(lost('cut'));
  await assert.rejects(answer, /cut/);
  assert.equal(tries.asked, 2);
});

test('after a refusal a try that never answers is not waited for to its end, and it is not known what it did', async () => {
  await assert.rejects(script(later().promise, refused('no')).insist(), /no answer/);
  await assert.rejects(script(later().promise, unsent(), refused('no')).insist(), /no answer/);
});

test('when it is enough the last failure is thrown, but one that refuses the client before it', async () => {
  await assert.rejects(script(unsent('one'), unsent('two')).insist(), /two/);
  await assert.rejects(script(unsent('bad certificate', 'cluster-refused'), unsent('two')).insist(), /bad/);
  await assert.rejects(script(final('full')).insist(), /full/);
});

/** Tries that come to these outcomes; the next one is asked at once after a failure, and 1 ms after a late one. */
function script(...outcomes: readonly (Told | Promise<Told>)[]) {
  const waiting = new Map<number, () => void>();
  const tries = {
    asked: 0,
    until: (count: number) => new Promise<void>((resolve) => waiting.set(count, resolve)),
    insist: () =>
      insist<string>({
        ask: async () => {
          const outcome = outcomes[tries.asked++];
          waiting.get(tries.asked)?.();
          return outcome ?? assert.fail('asked once too often');
        },
        pauseMs: ({ elsewhere }) => (elsewhere && tries.asked < outcomes.length ? 0 : undefined),
        hedgeMs: () => (tries.asked < outcomes.length ? 1 : undefined),
        settleMs: SETTLE_MS,
        unanswered: () => new GantryError('cluster-unreachable', 'no answer'),
      }),
  };
  return tries;
}

/** Comes to what it is told to. */
function later() {
  let resolve: (outcome: Told) => void = () => {};
  const promise = new Promise<Told>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function done(answer: string): Told {
  return { kind: 'done', answer };
}

function refused(answer: string): Told {
  return { kind: 'refused', answer };
}

function unsent(why = 'away', code: 'cluster-unreachable' | 'cluster-refused' = 'cluster-unreachable'): Told {
  return failed({ error: new GantryError(code, why), elsewhere: true, unsent: true, leaderless: false });
}

function lost(why: string): Told {
  const error = new GantryError('cluster-unreachable', why);
  return failed({ error, elsewhere: true, unsent: false, leaderless: false });
}

function final(why = 'full'): Told {
  const error = new GantryError('cluster-failed', why);
  return failed({ error, elsewhere: false, unsent: false, leaderless: false });
}

function failed(failure: Failure): Told {
  return { kind: 'failed', failure };
}
