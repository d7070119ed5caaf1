/** What of etcd's numbers a host follows, as a specification; and how a host that is gone is told from one that is not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ScaleMemory } from '../../../src/agent/scale.ts';
import { keys as keysOf } from '../../../src/cluster/keys.ts';
import type { Entry, Store } from '../../../src/cluster/store.ts';
import type { Instances, ScaleValue, SharesValue } from '../../../src/cluster/values.ts';
import { Presence } from '../../../src/fleet/scale/presence.ts';
import { instancesWanted, isUnspread, rescaled } from '../../../src/fleet/scale/scaling.ts';
import { componentOf } from '../../docker/components.ts';
import {
  expectStep,
  fresh,
  memoryOf,
  prepared,
  releaseOf,
  said,
  serving1,
  settled2,
  switched2,
} from '../rollout-builders.ts';

const AT = '2030-01-01T00:00:00.000Z';

function asked(instances: Instances, number: number, over: Partial<ScaleValue> = {}) {
  return {
    value: { format: 1, instances, number, by: 'ann@desk', at: AT, ...over } as const,
    modRevision: 7,
  };
}

function spread(number: number, total: number, shares: Readonly<Record<string, number>>) {
  const value: SharesValue = { format: 1, number, total, shares, host: 'b', why: 'b is there', at: AT };
  return { value, modRevision: 8 };
}

const NOTHING: ScaleMemory = { number: 0, decision: 0 };

describe('a host follows', () => {
  test('a number that is above the one it has followed, and no other', () => {
    const scale = asked(5, 3);
    assert.deepEqual(rescaled({ scale, shares: undefined }, undefined, 'a'), {
      scale: { number: 3, decision: 0, instances: 5 },
      why: 'ann@desk asked for 5',
    });
    for (const number of [3, 4]) {
      assert.equal(rescaled({ scale, shares: undefined }, { ...NOTHING, number }, 'a'), undefined);
    }
  });

  test('its share, and keeps what it has while it is not named', () => {
    const shares = spread(2, 6, { a: 2, b: 4, d: 0 });
    const memory = { ...NOTHING, decision: 1, share: 3 };
    const follows = (host: string) => rescaled({ scale: undefined, shares }, memory, host);
    assert.deepEqual(follows('a'), {
      scale: { number: 0, decision: 2, share: 2 },
      why: 'its share is 2 of 6: b is there',
    });
    assert.equal(follows('d')?.scale.share, 0);
    assert.equal(follows('c'), undefined, 'it was gone when that was decided, and is back');
    assert.equal(rescaled({ scale: asked({ total: 6 }, 1), shares }, NOTHING, 'c'), undefined);
    assert.equal(rescaled({ scale: undefined, shares }, { ...memory, decision: 2 }, 'a'), undefined);
  });

  test('a total when it is decided how it is spread, and both at once', () => {
    const scale = asked({ total: 6 }, 1);
    assert.equal(rescaled({ scale, shares: undefined }, NOTHING, 'a'), undefined);
    const other = rescaled({ scale, shares: spread(1, 4, { a: 4 }) }, NOTHING, 'a');
    assert.deepEqual(other?.scale, { number: 0, decision: 1, share: 4 });
    const both = rescaled({ scale, shares: spread(2, 6, { a: 2 }) }, NOTHING, 'a');
    assert.deepEqual(both?.scale, { number: 1, decision: 2, share: 2, instances: { total: 6 } });
  });

  test('that it is to be as the releases say, once somebody asked for that', () => {
    const memory = { number: 1, decision: 0, instances: 5 };
    const back = rescaled({ scale: asked(2, 2, { config: true }), shares: undefined }, memory, 'a');
    assert.deepEqual(back?.scale, { number: 2, decision: 0 });
    assert.equal(rescaled({ scale: undefined, shares: undefined }, memory, 'a'), undefined, 'absence');
  });
});

describe('what the hosts decide about', () => {
  const spec = componentOf({ instances: 6, total: 6 });
  const { desired } = said();
  const follows = (memory?: ScaleMemory, generation = 5) => ({ memory, generation });

  test('is what somebody asked for, else what the release says', () => {
    assert.deepEqual(instancesWanted({ desired, scale: asked(3, 1) }, follows(), spec), 3);
    assert.deepEqual(instancesWanted({ desired, scale: undefined }, follows(), spec), { total: 6 });
    const config = asked(1, 1, { config: true });
    assert.deepEqual(instancesWanted({ desired, scale: config }, follows(), spec), { total: 6 });
  });

  test('is what was followed where etcd was restored, unless a newer release has the last word', () => {
    const memory = { number: 4, decision: 2, instances: { total: 9 } };
    const of = (scale: ReturnType<typeof asked> | undefined, generation: number) =>
      instancesWanted({ desired, scale }, follows(memory, generation), spec);
    assert.deepEqual(of(asked(3, 1), 5), { total: 9 });
    assert.deepEqual(of(undefined, 5), { total: 9 });
    assert.deepEqual(of(undefined, 4), { total: 6 });
  });

  test('must be decided before a release that has a total is adopted', () => {
    const release = { ...releaseOf(2), spec: { ...releaseOf(2).spec, total: 6 } };
    const wait = 'wait for fleet: it is not decided yet how its total is spread over the hosts';
    const joining = fresh({ preparation: prepared() });
    expectStep(said({ release, rollout: { state: 'done' } }), joining, wait);
    const shares = spread(1, 6, { a: 2 });
    expectStep(said({ release, shares }), serving1(), 'rescale: its share is 2 of 6: b is there');
    assert.equal(
      isUnspread(said({ release, shares }), follows({ ...NOTHING, decision: 1, share: 2 })),
      false,
    );
  });
});

describe('a host without a container', () => {
  test('is done with a release as soon as it has it', () => {
    const none = switched2({ hasNone: true, memory: memoryOf({ generation: 5, provenAt: 999_999 }) });
    expectStep(said({ turns: [] }), none, 'settle: no container of it is to be here');
  });
});

describe('a release that was rolled out where none was to be', () => {
  const untried = said({ rollout: { state: 'done', untried: true }, turns: [] });

  test('is known to be good when it serves for the first time', () => {
    expectStep(untried, settled2({ hasNone: true }), 'wait for intent');
    expectStep(untried, settled2({ arrived: false }), 'wait for intent');
    expectStep(untried, settled2(), 'complete: release 2 serves for the first time');
    expectStep(said({ rollout: { state: 'done' }, turns: [] }), settled2(), 'wait for intent');
  });
});

describe('presence', () => {
  const keys = keysOf();
  const TTL_MS = 15_000;
  const at = (host: string, components = ['web']): Entry => {
    const value = {
      format: 1,
      host,
      id: host,
      project: 'shop',
      address: '',
      version: '',
      pid: 1,
      components,
    };
    const text = JSON.stringify({ ...value, labels: {}, since: AT });
    return { key: keys.host('shop', host), value: text, createRevision: 1, modRevision: 1 };
  };

  /** A store whose hosts are as the test says. */
  function held() {
    const entries = new Map<string, Entry>();
    const world = { now: 1_000_000, current: true, changed: () => {} };
    const mirror = {
      entries,
      get current() {
        return world.current;
      },
      trouble: undefined,
      revision: 0,
      listed: async () => {},
      close() {},
    };
    const follow: Store['follow'] = ({ onChange }) => {
      world.changed = () => onChange();
      return mirror;
    };
    const store = { follow } as Store;
    const presence = new Presence({
      ...{ store, keys, project: 'shop', ttlMs: TTL_MS, now: () => world.now, onChange() {} },
    });
    presence.start();
    const set = (...hosts: readonly Entry[]) => {
      entries.clear();
      for (const entry of hosts) entries.set(entry.key, entry);
      world.changed();
    };
    return { presence, world, set };
  }

  test('counts from when a host was heard of last, where it was seen to go', () => {
    const { presence, world, set } = held();
    set(at('a'), at('b'));
    assert.deepEqual(
      presence.running('web').map((h) => h.host),
      ['a', 'b'],
    );
    world.now += 5_000;
    set(at('a'));
    assert.equal(presence.lostAt('b', 30_000), world.now + 15_000);
    assert.equal(presence.lostAt('b', 3_000), world.now);
    set(at('a'), at('b'));
    assert.equal(presence.running('web').length, 2);
  });

  test('counts from when somebody looks, where it was not, also after etcd was away', () => {
    const { presence, world, set } = held();
    set(at('a'));
    assert.equal(presence.lostAt('z', 30_000), world.now + 30_000);
    assert.equal(presence.lostAt('z', 3_000), world.now + TTL_MS);
    set(at('a'), at('b'));
    world.current = false;
    world.changed();
    assert.equal(presence.current, false);
    world.now += 60_000;
    world.current = true;
    set(at('a'));
    assert.equal(presence.lostAt('b', 30_000), world.now + 30_000);
  });

  test('takes a host at its word that does not run the component any more', () => {
    const { presence, world, set } = held();
    set(at('a'), at('b'));
    set(at('a'), at('b', []));
    assert.ok(presence.lostAt('b', 30_000) < world.now);
    assert.deepEqual(
      presence.running('web').map((h) => h.host),
      ['a'],
    );
  });
});
