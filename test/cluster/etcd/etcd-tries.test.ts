import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Failure } from '../../../src/cluster/etcd/etcd-failures.ts';
import { happensOnce } from '../../../src/cluster/etcd/etcd-requests.ts';
import { Tries } from '../../../src/cluster/etcd/etcd-tries.ts';
import { HEDGE_MS, HEDGES, ROUND_PAUSE_MS, ROUNDS } from '../../../src/cluster/options.ts';
import { GantryError } from '../../../src/errors.ts';

const error = new GantryError('cluster-unreachable', 'away');
const AWAY: Failure = { error, elsewhere: true, unsent: true, leaderless: false };
const LEADERLESS: Failure = { ...AWAY, leaderless: true };

test('members that are away are asked for two rounds, with a pause after each', () => {
  const tries = new Tries(3, 60_000);
  const pauses = Array.from({ length: ROUNDS * 3 }, () => tries.pauseMs(AWAY));
  assert.deepEqual(pauses, [0, 0, ROUND_PAUSE_MS, 0, 0, undefined]);
});

test('as long as any of them says that none leads, it goes on for all the time there is', () => {
  const tries = new Tries(3, 60_000);
  for (let i = 0; i < 100; i++) assert.notEqual(tries.pauseMs(i % 3 === 0 ? LEADERLESS : AWAY), undefined);
  assert.equal(new Tries(1, 0).pauseMs(LEADERLESS), undefined);
});

test('beside a late try others follow, soon at first, and none on a single member', () => {
  const tries = new Tries(3, 60_000);
  const soon = Array.from({ length: HEDGES }, () => HEDGE_MS);
  const pauses = Array.from({ length: HEDGES + 2 }, () => tries.hedgeMs());
  assert.deepEqual(pauses, [...soon, 2 * HEDGE_MS, 4 * HEDGE_MS]);
  assert.equal(new Tries(1, 60_000).hedgeMs(), undefined);
  assert.equal(new Tries(3, HEDGE_MS / 2).hedgeMs(), undefined);
});

test('a commit happens once if it changes a key that must be at a revision: absence may come again', () => {
  const put = { kind: 'put', key: 'a', value: '1' } as const;
  assert.equal(happensOnce([{ key: 'a', modRevision: 7 }], [put]), true);
  assert.equal(happensOnce([{ key: 'a', modRevision: 7 }], [{ kind: 'delete', key: 'a' }]), true);
  assert.equal(happensOnce([{ key: 'b', modRevision: 7 }], [put]), false);
  assert.equal(happensOnce([{ key: 'a', modRevision: 0 }], [put]), false);
  assert.equal(happensOnce([{ key: 'a', createRevision: 0 }], [put]), false);
  assert.equal(happensOnce([], [put]), false);
});
