/** What etcd's history tells of turns: the rules that a campaign holds it to, with made-up histories. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys } from '../../src/cluster/keys.ts';
import type { HostPhase, RolloutValue, StatusValue } from '../../src/cluster/values.ts';
import { type Change, Queue } from './queue.ts';

const KEYS = keys().project('shop');
const RELEASE = 2;

/** One revision after the other, a second between them. */
class History {
  readonly queue = new Queue('shop', 'web', 1);
  #revision = 0;

  get now(): number {
    return this.#revision * 1_000;
  }

  rollout(more: Partial<RolloutValue> = {}): this {
    const value = { generation: 2, release: RELEASE, from: 1, kind: 'update', state: 'running', ...more };
    return this.#put(KEYS.rollout('web'), value, '0');
  }

  queues(host: string, lease = host): this {
    return this.#put(KEYS.turn('web', host), { host, generation: 2, attempt: 1 }, lease);
  }

  leaves(host: string): this {
    return this.#put(KEYS.turn('web', host), undefined, host);
  }

  says(host: string, phase: HostPhase, more: Partial<StatusValue> = {}, lease = host): this {
    const value = { host, phase, generation: 2, settled: 1, ...more };
    return this.#put(KEYS.status('web', host), value, lease);
  }

  #put(key: string, value: unknown, lease: string): this {
    this.#revision += 1;
    const change: Change = {
      ...{ key, lease, revision: this.#revision, createRevision: this.#revision, at: this.now },
      value: value === undefined ? undefined : JSON.stringify(value),
    };
    this.queue.take([change]);
    return this;
  }
}

test('one host after the other is as it should be', () => {
  const history = new History().rollout().queues('a').queues('b').says('a', 'starting').says('a', 'watching');
  history.says('a', 'serving', { settled: 2 }).leaves('a').says('b', 'starting');
  assert.deepEqual(history.queue.problems, []);
  assert.equal(history.queue.most, 1);
});

test('two at once are found', () => {
  const { queue } = new History()
    .rollout()
    .queues('a')
    .queues('b')
    .says('a', 'starting')
    .says('b', 'starting');
  assert.match(queue.problems.join(), /revision 5 a and b are on their way to release 2, and a has a turn/);
  assert.equal(queue.most, 2);
});

test('one that does not wait for the one before it is found', () => {
  const { queue } = new History().rollout().queues('a').queues('b').says('b', 'starting');
  assert.match(queue.problems.join(), /b are on their way to release 2, and a has a turn/);
});

test('who has lost its lease and not heard of it yet is not on its way', () => {
  const history = new History().rollout().queues('a').says('a', 'starting').leaves('a');
  assert.deepEqual(history.queues('b').says('b', 'starting').queue.problems, []);
});

test('what a host has said before it queued again says nothing of its new turn', () => {
  const history = new History().rollout().queues('a').says('a', 'starting').leaves('a');
  history.queues('b').says('b', 'starting').says('a', 'starting', {}, 'a2').queues('a', 'a2');
  assert.deepEqual(history.queue.problems, []);
  history.says('a', 'starting', {}, 'a2');
  assert.match(history.queue.problems.join(), /b and a are on their way|a and b are on their way/);
});

test('going back, and a first release, take no turns', () => {
  for (const more of [{ kind: 'rollback' as const }, { from: 0 }]) {
    const history = new History().rollout(more).says('a', 'starting').says('b', 'starting');
    assert.deepEqual(history.queue.problems, []);
    assert.ok(history.queue.maySwitch('b', RELEASE, history.now));
  }
});

test('a switch without a turn for that release is found', () => {
  const history = new History().rollout().queues('a');
  assert.ok(history.queue.maySwitch('a', RELEASE, history.now));
  assert.ok(!history.queue.maySwitch('b', RELEASE, history.now));
  assert.ok(!history.queue.maySwitch('a', 3, history.now));
  history.leaves('a');
  assert.ok(history.queue.maySwitch('a', RELEASE, history.now + 1_000), 'told a little later');
  assert.ok(!history.queue.maySwitch('a', RELEASE, history.now + 10_000));
});

test('what every host has may be followed without a turn', () => {
  const history = new History().rollout().queues('a').leaves('a').rollout({ state: 'done' });
  assert.ok(history.queue.maySwitch('c', RELEASE, history.now + 60_000));
});
