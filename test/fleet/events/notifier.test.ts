import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import type { Store } from '../../../src/cluster/store.ts';
import { GantryError } from '../../../src/errors.ts';
import type { AgentEvent } from '../../../src/events.ts';
import { MAX_TRIES } from '../../../src/fleet/events/deliveries.ts';
import { Notifier } from '../../../src/fleet/events/notifier.ts';
import { setConfig } from '../../../src/fleet/intents/stored-config.ts';
import { until } from '../../docker/until.ts';
import { AT, AT_KEYS, ground, PROJECT } from '../intents/intents-ground.ts';
import { receiver } from './receiver.ts';

const START = Date.parse(AT);
const about = { component: 'web', at: START };
const failed: AgentEvent = {
  ...{ ...about, kind: 'rollout-decided', decision: 'taken-back', release: 7, to: 6, generation: 9 },
  why: 'h1: it ended',
};
const back: AgentEvent = {
  ...{ ...about, kind: 'rollout-decided', decision: 'returned', release: 6, generation: 10, why: 'so' },
};
const drain: AgentEvent = { ...about, kind: 'drain-started', container: 'c1', why: '' };
const stopping: AgentEvent = { ...about, kind: 'container-stopping', container: 'c1', why: '' };

async function notifying(t: TestContext, notify: readonly object[]) {
  const made = ground();
  const file = { project: PROJECT, components: [{ name: 'web', repo: 'web' }], notify };
  await setConfig(made.fleet, { project: PROJECT, file, by: 'test@here' });
  const lost: string[] = [];
  const notifier = new Notifier({
    ...{ project: PROJECT, host: 'h1', store: made.store, keys: AT_KEYS, now: () => START, againMs: 5 },
    secret: async () => Buffer.from('key'),
    onLost: (message) => lost.push(message),
  });
  t.after(async () => {
    await notifier.close();
    await made.store.close();
  });
  return { ...made, notifier, lost };
}

describe('notify', () => {
  test('tells of what it is for, signed with the secret', async (t) => {
    const there = await receiver(t);
    const on = ['failed-deploy'];
    const { notifier, lost } = await notifying(t, [{ url: there.url, on, secret: 'hook' }]);
    notifier.add(back);
    notifier.add(failed);
    const [first] = await until('the call', () => there.received.length > 0 && there.received);
    await notifier.close();
    assert.equal(there.received.length, 1);
    const { id, event, ...body } = first?.body ?? {};
    assert.deepEqual(body, {
      ...{ on: 'failed-deploy', at: AT, project: PROJECT, component: 'web', host: 'h1' },
      text: 'The rollout of release 7 of web failed, all hosts go back to release 6: h1: it ended',
    });
    assert.equal((event as { readonly release: number }).release, 7);
    const hmac = createHmac('sha256', 'key')
      .update(first?.text ?? '')
      .digest('hex');
    assert.equal(first?.headers['x-gantryd-signature'], `sha256=${hmac}`);
    assert.equal(first?.headers['x-gantryd-delivery'], id);
    assert.equal(first?.headers['x-gantryd-event'], 'failed-deploy');
    assert.deepEqual(lost, []);
  });

  test('tries again where that may help, with the same id, and each in its order', async (t) => {
    const there = await receiver(t);
    const { notifier, lost } = await notifying(t, [{ url: there.url }]);
    there.answers.push(500, 429, 204);
    notifier.add(failed);
    await until('three tries', () => there.received.length === 3);
    notifier.add(back);
    await until('the next', () => there.received.length === 4);
    assert.deepEqual(
      there.received.map(({ body }) => body.on),
      ['failed-deploy', 'failed-deploy', 'failed-deploy', 'rollback'],
    );
    assert.equal(new Set(there.received.map(({ body }) => body.id)).size, 2);
    assert.deepEqual(lost, []);
  });

  test('gives up on what will not have it, says so once, and not what the address keeps secret', async (t) => {
    const there = await receiver(t);
    const { notifier, lost } = await notifying(t, [{ url: there.url }]);
    there.answers.push(302, 400, ...Array.from({ length: MAX_TRIES }, () => 503));
    for (let i = 0; i < 3; i++) notifier.add(failed);
    await until('all tries', () => there.received.length === 2 + MAX_TRIES);
    await notifier.close();
    const origin = new URL(there.url).origin;
    assert.deepEqual(lost, [
      `${origin} was not told of something: it answered 302, and redirects are not followed`,
    ]);
  });

  test('an address that nobody answers at holds up no other', async (t) => {
    const there = await receiver(t);
    const { notifier, lost } = await notifying(t, [{ url: 'http://127.0.0.1:1/' }, { url: there.url }]);
    notifier.add(failed);
    await until('the other', () => there.received.length === 1);
    await until('it is told', () => lost.length === 1);
    assert.match(lost[0] ?? '', /^http:\/\/127\.0\.0\.1:1 was not told .* \(ECONNREFUSED\), 6 times$/);
  });

  test('tells once of a drain that is long, and not of one that ends before', async (t) => {
    const there = await receiver(t);
    const { notifier } = await notifying(t, [{ url: there.url, drainLongerThan: 1000 }]);
    const longAgo = START - 60_000;
    notifier.add(drain);
    notifier.add({ ...drain, container: 'c2', at: longAgo });
    await until('the long one', () => there.received.length === 1);
    notifier.add(stopping);
    assert.equal(there.received[0]?.body.on, 'long-drain');
    assert.equal(there.received[0]?.body.text, 'Container c2 drains for longer than 1 s');
  });

  test('goes by what the config said last while etcd is away', async (t) => {
    const there = await receiver(t);
    const { notifier, store } = await notifying(t, [{ url: there.url }]);
    notifier.add(back);
    await until('the first', () => there.received.length === 1);
    store.disconnect();
    notifier.add(failed);
    await until('the second', () => there.received.length === 2);
  });

  test('asks an etcd that is away no more often than one that answers', async (t) => {
    const { store, fleet } = await notifying(t, []);
    const there = await receiver(t);
    const file = {
      project: PROJECT,
      components: [{ name: 'web', repo: 'web' }],
      notify: [{ url: there.url }],
    };
    await setConfig(fleet, { project: PROJECT, file, by: 'test@here' });
    const clock = { at: START, reads: 0, isAway: false };
    const get: Store['get'] = async (key) => {
      clock.reads++;
      if (clock.isAway) throw new GantryError('cluster-unreachable', 'away', { retryable: true });
      return store.get(key);
    };
    const notifier = new Notifier({
      ...{ project: PROJECT, host: 'h1', keys: AT_KEYS, now: () => clock.at, againMs: 5 },
      secret: async () => Buffer.from(''),
      store: Object.assign(Object.create(store) as Store, { get }),
      onLost: () => undefined,
    });
    t.after(() => notifier.close());
    for (const [isAway, at] of [
      [false, 0],
      [true, 60_000],
      [true, 61_000],
      [true, 62_000],
    ] as const) {
      Object.assign(clock, { isAway, at: START + at });
      const before = there.received.length;
      notifier.add(failed);
      await until('it is told', () => there.received.length === before + 1);
    }
    assert.equal(clock.reads, 2);
  });

  test('waits for an etcd that never answered, to know who is to be told', async (t) => {
    const there = await receiver(t);
    const { store } = await notifying(t, [{ url: there.url }]);
    const tries = { count: 0, at: START };
    const get: Store['get'] = async (key) => {
      if (tries.count++ < 3) throw new GantryError('cluster-unreachable', 'away', { retryable: true });
      return store.get(key);
    };
    const notifier = new Notifier({
      ...{ project: PROJECT, host: 'h1', keys: AT_KEYS, now: () => (tries.at += 60_000), againMs: 5 },
      secret: async () => Buffer.from(''),
      store: Object.assign(Object.create(store) as Store, { get }),
      onLost: () => undefined,
    });
    t.after(() => notifier.close());
    notifier.add(failed);
    await until('the call', () => there.received.length === 1);
    assert.equal(tries.count, 4);
  });

  test('reads the config once for all that happens at once, and outlives what nobody foresaw', async (t) => {
    const { store } = await notifying(t, []);
    let reads = 0;
    const get: Store['get'] = async () => {
      reads++;
      throw new TypeError('out of the blue');
    };
    const lost: string[] = [];
    const notifier = new Notifier({
      ...{
        project: PROJECT,
        host: 'h1',
        keys: AT_KEYS,
        now: () => START,
        secret: async () => Buffer.from(''),
      },
      store: Object.assign(Object.create(store) as Store, { get }),
      onLost: (message) => lost.push(message),
    });
    notifier.add(failed);
    notifier.add(back);
    await notifier.close();
    assert.equal(reads, 1);
    assert.equal(lost[0], 'Nobody was told of something: out of the blue');
  });
});
