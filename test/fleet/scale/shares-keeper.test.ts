/** Who decides how a total is spread, where hosts do not know the same: an agent's part of it around an etcd in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ScaleMemory } from '../../../src/agent/scale.ts';
import type { Entry } from '../../../src/cluster/store.ts';
import {
  type Instances,
  type ReleaseValue,
  readDesired,
  readScale,
  readShares,
  type SharesValue,
} from '../../../src/cluster/values.ts';
import type { Wanted } from '../../../src/fleet/rollout.ts';
import { Presence } from '../../../src/fleet/scale/presence.ts';
import { SharesKeeper } from '../../../src/fleet/scale/shares-keeper.ts';
import type { Surroundings } from '../../../src/fleet/surroundings.ts';
import type { Cleanup } from '../../ground/harness.ts';
import { until } from '../../ground/harness.ts';
import { AT, AT_KEYS, ground, host, joins, KEYS, PROJECT, status, tells } from '../intents/intents-ground.ts';
import { desiredOf, releaseOf, said } from '../rollout-builders.ts';

const SHARES = AT_KEYS.shares('web');

function withTotal(number: number, total: number): ReleaseValue {
  const release = releaseOf(number);
  return { ...release, spec: { ...release.spec, instances: total, total } };
}

function sharesOf(number: number, shares: Readonly<Record<string, number>>): SharesValue {
  const total = Object.values(shares).reduce((a, b) => a + b, 0);
  return { format: 1, number, total, shares, host: 'b', why: 'so', at: AT };
}

/** Hosts `a` and `b` live; what is written to etcd is what the test puts there, or the keeper of a host. */
async function fleet(t: Cleanup) {
  const { store, cluster } = ground();
  const put = (key: string, value: object) =>
    store.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]);
  for (const name of ['a', 'b']) joins(cluster, host(name, { components: ['web'] }));
  const time = { now: Date.parse(AT) };
  const now = () => time.now;
  const presence = new Presence({
    ...{ store, keys: KEYS, project: PROJECT, ttlMs: 15_000, now, onChange() {} },
  });
  presence.start();
  t.after(async () => {
    presence.close();
    await store.close();
  });
  await until(() => presence.running('web').length === 2, { timeoutMs: 2_000, what: 'both hosts' });
  const entry = () => store.get(SHARES);
  const around = { presence, store, now, keys: AT_KEYS, host: 'a', session: { lease: () => 'lease' } };
  const keeper = new SharesKeeper('web', around as unknown as Surroundings);
  return {
    cluster,
    put,
    time,
    shares: async () => readShares(await entry()),
    /** As the mirror would have it. */
    async followed(): Promise<Pick<Wanted, 'shares'>> {
      const [value, at] = [readShares(await entry()), await entry()];
      return { shares: value && at && { value, modRevision: at.modRevision } };
    },
    scale: async () => readScale(await store.get(AT_KEYS.scale('web'))),
    /** As the mirror would have the rest. */
    async world(): Promise<Pick<Wanted, 'scale' | 'desired'>> {
      const held = async <T>(key: string, read: (entry: Entry | undefined) => T | undefined) => {
        const at = await store.get(key);
        const value = read(at);
        return value && at && { value, modRevision: at.modRevision };
      };
      return {
        scale: await held(AT_KEYS.scale('web'), readScale),
        desired: await held(AT_KEYS.desired('web'), readDesired),
      };
    },
    async round(wanted: Wanted, memory: ScaleMemory | undefined, total = 3) {
      const { spec } = withTotal(2, total);
      return keeper.round(wanted, { memory, generation: 5, isAt: true, spec, arrivedAt: undefined });
    },
  };
}

function remembering(instances: Instances, over: Partial<ScaleMemory> = {}): ScaleMemory {
  return { number: 2, instances, decision: 3, share: 3, ...over };
}

test('a host that knows less of what was asked leaves another total to those who know it', async (t) => {
  const { cluster, put, shares, followed, round } = await fleet(t);
  await put(SHARES, sharesOf(4, { a: 3, b: 3 }));
  const forgotten = said({ rollout: { state: 'done' }, ...(await followed()) });
  tells(cluster, 'web', status('b', { size: { wanted: 3, scale: 2, shares: 4 } }));
  await round(forgotten, { number: 0, decision: 4, share: 3 });
  assert.equal((await shares())?.number, 4, 'it is new here, and etcd was restored');
  await round(forgotten, remembering({ total: 8 }, { decision: 4 }));
  assert.equal((await shares())?.total, 8, 'it knows as much as anybody');
});

test('neither does it decide how one is spread that etcd has forgotten altogether', async (t) => {
  const { cluster, shares, round } = await fleet(t);
  const forgotten = said({ rollout: { state: 'done' } });
  tells(cluster, 'web', status('b', { size: { wanted: 3, scale: 2, shares: 4 } }));
  await round(forgotten, undefined);
  assert.equal(await shares(), undefined, 'it is new here');
});

test('what was asked for is written again by who remembers it, and by nobody else', async (t) => {
  const { put, round, scale, world } = await fleet(t);
  const forgotten = async (state: 'running' | 'done' = 'done'): Promise<Wanted> => ({
    ...said({ rollout: { state } }),
    ...(await world()),
  });
  await put(AT_KEYS.desired('web'), desiredOf());
  await round(await forgotten(), { number: 2, decision: 0 });
  assert.equal(await scale(), undefined, 'it is as the releases say');
  await round(await forgotten('running'), remembering(4));
  assert.equal(await scale(), undefined, 'an update may have put an end to it');
  await round(await forgotten(), remembering(4));
  const { instances, number, by } = (await scale()) ?? assert.fail();
  assert.deepEqual([instances, number, by], [4, 2, 'a, which remembers it']);
  await round(await forgotten(), remembering(4, { number: 1 }));
  assert.equal((await scale())?.number, 2, 'an older one is no news');
  await round(await forgotten(), { number: 3, decision: 0 });
  assert.deepEqual([(await scale())?.config, (await scale())?.number], [true, 3]);
});

test("another host's first decision is not written over by who has not heard of it", async (t) => {
  const { put, shares, round } = await fleet(t);
  await put(SHARES, sharesOf(1, { b: 3 }));
  await round(said({ rollout: { state: 'done' } }), undefined);
  assert.deepEqual((await shares())?.shares, { b: 3 });
  await put(SHARES, { format: 1, damaged: true });
  await round(said({ rollout: { state: 'done' } }), undefined);
  assert.equal((await shares())?.total, 3, 'one that nobody can read is replaced');
});

test('a decision of the number that was followed, but another one, is given a number that all follow', async (t) => {
  const { put, shares, followed, round } = await fleet(t);
  await put(SHARES, sharesOf(3, { a: 1, b: 2 }));
  const wanted = said({ rollout: { state: 'done' }, ...(await followed()) });
  await round(wanted, { number: 0, decision: 3, share: 1 });
  assert.equal((await shares())?.number, 3, 'it is the one that was followed');
  await round(wanted, { number: 0, decision: 3, share: 3 });
  assert.deepEqual([(await shares())?.number, (await shares())?.shares], [4, { a: 1, b: 2 }]);
});

test('what somebody asked for is not taken away while the update that ends it goes round', async (t) => {
  const { put, shares, followed, round } = await fleet(t);
  await put(AT_KEYS.release('web', 1), withTotal(1, 3));
  await put(SHARES, sharesOf(3, { a: 3, b: 3 }));
  const of = async (state: 'running' | 'done') => said({ rollout: { state }, ...(await followed()) });
  const ended: ScaleMemory = { number: 2, before: { total: 6 }, decision: 3, share: 3 };
  await round(await of('running'), ended, 4);
  assert.equal((await shares())?.number, 3);
  await round(await of('done'), ended, 4);
  assert.equal((await shares())?.total, 4);
});

test('a host that has not what it should have in time is named, and tried again later', async (t) => {
  const { cluster, put, time, shares, followed, round } = await fleet(t);
  await put(SHARES, { ...sharesOf(3, { a: 3, b: 3 }), next: { a: 3, b: 3 }, arrived: ['a'] });
  const size = { wanted: 3, scale: 0, shares: 3 };
  tells(cluster, 'web', status('b', { size, why: 'no space left on device' }));
  const of = async (state: 'running' | 'done') => said({ rollout: { state }, ...(await followed()) });
  const memory: ScaleMemory = { number: 0, decision: 3, share: 3 };
  await round(await of('running'), memory, 6);
  time.now += 600_000;
  await round(await of('running'), memory, 6);
  assert.equal((await shares())?.number, 3, 'a rollout takes its time');
  const restMs = await round(await of('done'), memory, 6);
  assert.ok(restMs > 1_000 && restMs <= 30_000, `${restMs} ms`);
  time.now += 600_000;
  await round(await of('done'), memory, 6);
  const { next, late, why } = (await shares()) ?? assert.fail();
  assert.deepEqual([next, late], [{ a: 5, b: 1 }, { b: 1 }]);
  assert.equal(why, 'b could not have more in time: no space left on device');
  await put(SHARES, { ...sharesOf(5, { a: 5, b: 1 }), late: { b: 1 } });
  await round(await of('done'), { ...memory, decision: 5, share: 5 }, 6);
  assert.equal((await shares())?.number, 5);
  time.now += 300_000;
  await round(await of('done'), { ...memory, decision: 5, share: 5 }, 6);
  assert.deepEqual([(await shares())?.next, (await shares())?.late], [{ a: 3, b: 3 }, undefined]);
  assert.equal((await shares())?.why, 'it is tried again to have more on b');
});

test('who is late is waited for as long as nobody else could have its part', async (t) => {
  const { cluster, time, put, shares, followed, round } = await fleet(t);
  await put(SHARES, { ...sharesOf(3, { a: 3, b: 3 }), next: { a: 3, b: 3 }, arrived: [] });
  for (const name of ['a', 'b']) tells(cluster, 'web', status(name, {}));
  const wanted = said({ rollout: { state: 'done' }, ...(await followed()) });
  const memory: ScaleMemory = { number: 0, decision: 3, share: 3 };
  await round(wanted, memory, 6);
  time.now += 600_000;
  const restMs = await round(wanted, memory, 6);
  assert.ok(restMs > 1_000, `${restMs} ms`);
  assert.equal((await shares())?.number, 3);
});
