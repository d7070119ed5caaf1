/** What a host writes for the whole fleet, as transactions on a coordinator in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keys as keysOf } from '../../src/cluster/keys.ts';
import {
  type DesiredValue,
  type Failure,
  type RolloutValue,
  readDesired,
  readOutcome,
  readRollout,
  readScale,
  type ScaleValue,
  type StatusValue,
} from '../../src/cluster/values.ts';
import { completed, type Deciding, failed, opened, type Transaction } from '../../src/fleet/decisions.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { desiredOf, queueOf, rolloutOf } from './rollout-builders.ts';

const KEYS = keysOf().project('shop');
const AT = '2030-01-01T00:01:00.000Z';
const FAILURE: Failure = { host: 'a', release: 2, why: 'container x exited', logs: ['no database'], at: AT };

/** What etcd holds of `web`, and what a host that looked at it decides from. */
function etcd(over: { desired?: Partial<DesiredValue>; rollout?: Partial<RolloutValue> } = {}) {
  const cluster = new MemoryCluster();
  const put = (key: string, value: object) =>
    cluster.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]);
  put(KEYS.desired('web'), desiredOf(over.desired));
  put(KEYS.rollout('web'), rolloutOf(over.rollout));
  const desired = () => readDesired(cluster.get(KEYS.desired('web')));
  const rollout = () => readRollout(cluster.get(KEYS.rollout('web')));
  const held = (key: string) => cluster.get(key)?.modRevision ?? 0;
  const deciding: Deciding = {
    ...{ keys: KEYS, component: 'web', at: AT },
    desired: { value: desiredOf(over.desired), modRevision: held(KEYS.desired('web')) },
    rollout: { value: rolloutOf(over.rollout), modRevision: held(KEYS.rollout('web')) },
  };
  const write = ({ conditions, writes }: Transaction) => cluster.commit(conditions, writes).done;
  const outcome = (release: number) => readOutcome(cluster.get(KEYS.outcome('web', release)));
  const scale = () => readScale(cluster.get(KEYS.scale('web')));
  return { put, deciding, write, desired, rollout, outcome, scale };
}

const back = { failure: FAILURE, onFailure: 'rollback', turn: undefined, known: 5 } as const;

test('the barrier opens', () => {
  const { deciding, write, rollout } = etcd({ rollout: { state: 'preparing' } });
  assert.equal(write(opened(deciding)), true);
  assert.deepEqual(rollout(), rolloutOf({ state: 'running' }));
});

test('a rollout that is done says so, and so does its release', () => {
  const { deciding, write, rollout, outcome, desired } = etcd();
  assert.equal(write(completed(deciding, true)), true);
  assert.deepEqual(rollout(), rolloutOf({ state: 'done', endedAt: AT }));
  assert.deepEqual(outcome(2), { format: 1, result: 'completed', at: AT });
  assert.deepEqual(desired(), desiredOf());
});

test('a release that no host was to have a container of is done, but nobody knows how good it is', () => {
  const { deciding, write, rollout, outcome } = etcd();
  assert.equal(write(completed(deciding, false)), true);
  const untried = rolloutOf({ state: 'done', endedAt: AT, untried: true });
  assert.deepEqual([rollout(), outcome(2)], [untried, undefined]);
  const later = etcd({ rollout: { state: 'done', endedAt: 'before', untried: true } });
  assert.equal(later.write(completed(later.deciding, true)), true);
  assert.deepEqual(later.rollout(), rolloutOf({ state: 'done', endedAt: 'before' }));
  assert.equal(later.outcome(2)?.result, 'completed');
  const back = etcd({ rollout: { kind: 'rollback' } });
  assert.equal(back.write(completed(back.deciding, false)), true);
  assert.equal(back.outcome(2)?.result, 'completed', 'it served before');
});

test('nothing is decided from what has changed since', () => {
  for (const key of [KEYS.desired('web'), KEYS.rollout('web')]) {
    const decisions = (d: Deciding) => [opened(d), completed(d, true), failed(d, back)];
    for (const i of [0, 1, 2]) {
      const { put, deciding, write } = etcd();
      put(key, key === KEYS.desired('web') ? desiredOf({ generation: 6 }) : rolloutOf({ state: 'paused' }));
      const decision = decisions(deciding)[i];
      assert.equal(decision && write(decision), false, `${i} ${key}`);
    }
  }
});

describe('a failure', () => {
  test('takes the fleet back to the release before', () => {
    const { deciding, write, desired, rollout, outcome } = etcd();
    assert.equal(write(failed(deciding, back)), true);
    const by = 'rollout of release 2';
    assert.deepEqual(desired(), desiredOf({ release: 1, generation: 6, by, at: AT }));
    const reason = 'a: container x exited';
    const returning = { kind: 'rollback', release: 1, from: 2, generation: 6, by, at: AT } as const;
    assert.deepEqual(rollout(), rolloutOf({ ...returning, reason, failure: FAILURE }));
    assert.deepEqual(outcome(2), { format: 1, result: 'failed', at: AT, reason });
    assert.equal(outcome(1), undefined);
  });

  test('raises the change above all that a host knows: etcd may have been restored', () => {
    const { deciding, write, desired, rollout } = etcd();
    write(failed(deciding, { ...back, known: 9 }));
    assert.deepEqual([desired()?.generation, rollout()?.generation], [10, 10]);
  });

  test('leaves the component stopped where nothing served before', () => {
    const { deciding, write, desired, rollout } = etcd({ rollout: { from: 0 } });
    write(failed(deciding, back));
    assert.deepEqual([desired()?.status, desired()?.release, desired()?.generation], ['stopped', 2, 6]);
    const ended = { state: 'failed', endedAt: AT, reason: 'a: container x exited' } as const;
    assert.deepEqual(rollout(), rolloutOf({ from: 0, ...ended, failure: FAILURE }));
  });

  test('pauses the rollout where the release says so, and a resume goes on from there', () => {
    const { deciding, write, desired, rollout, outcome } = etcd();
    write(failed(deciding, { ...back, onFailure: 'pause' }));
    const paused = { state: 'paused', was: 'running', reason: 'a: container x exited' } as const;
    assert.deepEqual(rollout(), rolloutOf({ ...paused, failure: FAILURE }));
    assert.deepEqual(desired(), desiredOf());
    assert.equal(outcome(2), undefined);
  });

  test('keeps what an operator’s pause is to be resumed with', () => {
    const { deciding, write, rollout } = etcd({ rollout: { state: 'paused', was: 'preparing' } });
    write(failed(deciding, { ...back, onFailure: 'pause' }));
    assert.equal(rollout()?.was, 'preparing');
  });

  describe('of an update that put an end to a scale', () => {
    const ended: ScaleValue = { format: 1, instances: 5, number: 3, by: 'ann@desk', at: AT, id: 'x' };
    const key = KEYS.scale('web');
    const statuses = [{ size: { wanted: 5, scale: 4, shares: 0 } }] as unknown as readonly StatusValue[];
    const none = { key, held: { value: undefined, modRevision: 0 }, statuses };

    test('asks for it again, above all that hosts have followed', () => {
      const { deciding, write, rollout, scale } = etcd({ rollout: { ended } });
      assert.equal(write(failed(deciding, { ...back, scale: none })), true);
      const { id: _, ...asked } = ended;
      assert.deepEqual(scale(), { ...asked, number: 5 });
      assert.equal(rollout()?.ended, undefined);
    });

    test('leaves what was asked for since, and decides anew when that came in between', () => {
      const { put, deciding, write, scale } = etcd({ rollout: { ended } });
      put(key, { ...ended, instances: 7 });
      assert.equal(write(failed(deciding, { ...back, scale: none })), false);
      const held = { value: scale(), modRevision: 9 };
      assert.equal(write(failed(deciding, { ...back, scale: { ...none, held } })), true);
      assert.equal(scale()?.instances, 7);
    });

    test('does not while it is only paused, and keeps it for when it is taken back', () => {
      const { deciding, write, rollout, scale } = etcd({ rollout: { ended } });
      write(failed(deciding, { ...back, onFailure: 'pause', scale: none }));
      assert.deepEqual([scale(), rollout()?.ended], [undefined, ended]);
    });
  });

  test('is told only as long as the host’s own turn stands', () => {
    const [turn] = queueOf('a');
    const { deciding, write, desired } = etcd();
    assert.equal(write(failed(deciding, { ...back, turn })), false);
    assert.equal(desired()?.generation, 5);
  });
});
