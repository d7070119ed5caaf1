import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { readEvent } from '../../../src/cluster/event-values.ts';
import { keepNewest, timeId } from '../../../src/cluster/newest.ts';
import type { Committed, Condition, Write } from '../../../src/cluster/store.ts';
import { GantryError } from '../../../src/errors.ts';
import type { AgentEvent } from '../../../src/events.ts';
import { EventLog, MAX_HELD, MOST_EVENTS } from '../../../src/fleet/events/event-log.ts';
import { isKept, keptValue, MAX_TEXT, MAX_VALUE_BYTES } from '../../../src/fleet/events/kept-events.ts';
import { followTold, listTold, type Told } from '../../../src/fleet/events/told.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { until } from '../../docker/until.ts';
import { AT, AT_KEYS, KEYS, PROJECT } from '../intents/intents-ground.ts';

const START = Date.parse(AT);
const about = { component: 'web', at: START };
const trouble = (message: string, at = START): AgentEvent => ({
  ...{ kind: 'trouble', code: 'internal', message, component: 'web', at },
});

/** Refuses what has a word in it, as etcd does what is too large. */
class RefusingStore extends MemoryStore {
  refused: string | undefined;

  override commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> {
    const { refused } = this;
    if (refused !== undefined && writes.some((w) => w.kind === 'put' && w.value.includes(refused)))
      return Promise.reject(new GantryError('cluster-failed', 'etcd failed: request is too large'));
    return super.commit(conditions, writes);
  }
}

function ground(t: TestContext, host = 'h1') {
  const cluster = new MemoryCluster();
  const store = new RefusingStore(cluster);
  const troubles: string[] = [];
  const log = new EventLog({
    ...{ store, keys: AT_KEYS, host, now: () => START },
    onTrouble: (code, message) => troubles.push(`${code}: ${message}`),
  });
  t.after(async () => {
    await log.close();
    await store.close();
  });
  const kept = () => cluster.list(AT_KEYS.events()).entries.flatMap((entry) => readEvent(entry) ?? []);
  return { cluster, store, log, troubles, kept };
}

describe('The events that are kept', () => {
  test('are written together, in the order in which they happened', async (t) => {
    const { log, kept, cluster } = ground(t);
    const before = cluster.revision;
    for (let i = 0; i < 20; i++) log.add(trouble(`no ${i}`, START + Math.floor(i / 10)));
    await until('what was told', () => kept().length === 20, 2_000);
    assert.deepEqual(
      kept().map(({ text }) => text),
      Array.from({ length: 20 }, (_, i) => `Trouble: no ${i}`),
    );
    assert.ok(cluster.revision - before <= 2, 'one transaction, or two');
  });

  test('wait for an etcd that is away; what is too much is dropped, oldest first, and counted', async (t) => {
    const { log, store, kept, troubles } = ground(t);
    store.disconnect();
    for (let i = 0; i < MAX_HELD + 5; i++) log.add(trouble(`no ${i}`));
    store.connect();
    await until('the first that are written', () => troubles.length > 0, 8_000);
    assert.deepEqual(troubles, ['cluster-unreachable: 5 events were not kept: etcd was away for too long']);
    assert.equal(kept()[0]?.text, 'Trouble: no 5');
  });

  test('hold up no other where etcd refuses one, which is dropped, and told', async (t) => {
    const { log, store, kept, troubles } = ground(t);
    store.refused = 'poison';
    for (let i = 0; i < 150; i++) log.add(trouble(i === 70 ? 'poison' : `no ${i}`));
    await until('all others', () => kept().length === 149, 8_000);
    await until('the loss', () => troubles.length > 0, 8_000);
    assert.equal(troubles.at(-1), 'cluster-failed: An event was not kept: etcd failed: request is too large');
  });

  test('wait while etcd refuses all of them, which is told once, and none is lost', async (t) => {
    const { log, store, kept, troubles } = ground(t);
    store.refused = 'no';
    for (let i = 0; i < 20; i++) log.add(trouble(`no ${i}`));
    await until('the trouble', () => troubles.length > 0, 3_000);
    store.refused = undefined;
    await log.close();
    assert.equal(kept().length, 20);
    assert.deepEqual(troubles, ['cluster-failed: Events wait to be kept: etcd failed: request is too large']);
  });

  test('of an agent that ends are written before it has', async (t) => {
    const { log, kept } = ground(t);
    log.add(trouble('one'));
    log.add(trouble('two'));
    await log.close();
    assert.deepEqual(
      kept().map(({ text }) => text),
      ['Trouble: one', 'Trouble: two'],
    );
  });

  test('are the newest of very many', async (t) => {
    const { cluster, store } = ground(t);
    const hosts = Array.from(
      { length: 30 },
      (_, i) => new EventLog({ store, keys: AT_KEYS, host: `h${i}`, now: () => START, onTrouble() {} }),
    );
    for (let i = 0; i < 100; i++) for (const log of hosts) log.add(trouble(`no ${i}`, START + i));
    await Promise.all(hosts.map((log) => log.close()));
    const left = cluster.list(AT_KEYS.events()).entries.length;
    assert.ok(left >= MOST_EVENTS && left < MOST_EVENTS + 500, `${left} are left`);
  });

  test('are not pushed out by those of a host whose clock is wrong', async (t) => {
    const [{ cluster, store, kept }, year] = [ground(t), 365 * 24 * 3_600_000];
    const value = (host: string) => JSON.stringify(keptValue(trouble('x'), host));
    const write = (host: string, at: number) =>
      ({ kind: 'put', key: AT_KEYS.event(timeId(at, host)), value: value(host) }) as const;
    for (let i = 0; i < MOST_EVENTS; i++) cluster.commit([], [write('ahead', START + year + i)]);
    for (let i = 0; i < 30; i++) cluster.commit([], [write('right', START + i), write('behind', i)]);
    await keepNewest(store, AT_KEYS.events(), MOST_EVENTS);
    const of = (host: string) => kept().filter((event) => event.host === host).length;
    assert.deepEqual([of('ahead'), of('right'), of('behind')], [MOST_EVENTS - 60, 30, 30]);
    await keepNewest(store, AT_KEYS.events(), MOST_EVENTS);
    assert.equal(kept().length, MOST_EVENTS);
  });
});

describe('What is kept of an event', () => {
  const words = { exitCode: 1, logs: Array.from({ length: 20 }, () => 'x'.repeat(100_000)) };
  const failed: AgentEvent = {
    ...{ ...about, kind: 'release-failed', release: 7, container: 'c'.repeat(64), why: 'it ended' },
    ...{ lastWords: words, serving: 6 },
  };

  test('is its sentence, and itself without what is long', () => {
    const value = keptValue(failed, 'h1');
    assert.ok(Buffer.byteLength(JSON.stringify(value)) <= MAX_VALUE_BYTES);
    assert.ok(value.text.length <= MAX_TEXT + 1);
    assert.match(value.text, /^Release 7 failed: it ended/);
    assert.deepEqual(
      [value.host, value.component, value.kind, value.at],
      ['h1', 'web', 'release-failed', AT],
    );
    assert.equal(value.event.release, 7);
  });

  test('is not what comes all the time, and of runs and ticks what went wrong', () => {
    const run = (state: string): AgentEvent => ({
      ...{ kind: 'run-changed', run: 'a.1', state, attempt: 1, why: '', component: '', at: START },
    });
    const tick = {
      kind: 'schedule-ticked',
      schedule: 'a',
      instant: AT,
      why: '',
      component: '',
      at: START,
    } as const;
    const kept = [failed, run('failed'), run('lost'), tick, trouble('x')];
    const left: AgentEvent[] = [
      run('complete'),
      run('running'),
      { ...tick, run: 'a.1' },
      { ...about, kind: 'waiting', for: 'ready', why: '', until: undefined },
    ];
    assert.deepEqual([kept.map(isKept), left.map(isKept)], [kept.map(() => true), left.map(() => false)]);
  });
});

describe('What is told of them', () => {
  test('is listed since a time and of a component, and followed, each once', async (t) => {
    const { log, store } = ground(t);
    log.add(trouble('one'));
    log.add({ ...trouble('two', START + 1000), component: 'db' });
    const texts = (told: readonly Told[]) => told.map(({ value }) => ('text' in value ? value.text : ''));
    const heard: string[] = [];
    const asking = { project: PROJECT, components: [], audit: true };
    const following = followTold(store, KEYS, asking, (told) => heard.push(...texts(told)));
    t.after(() => following.close());
    await until('both', () => heard.length === 2, 3_000);
    log.add(trouble('three', START + 2000));
    await until('the third', () => heard.length === 3, 3_000);
    assert.deepEqual(heard, ['Trouble: one', 'Trouble: two', 'Trouble: three']);
    const listed = async (over: object) => texts(await listTold(store, KEYS, { ...asking, ...over }));
    assert.deepEqual(await listed({ since: START + 1 }), ['Trouble: two', 'Trouble: three']);
    assert.deepEqual(await listed({ components: ['db'] }), ['Trouble: two']);
  });
});
