import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { followedStore } from '../../../src/api/fleet/followed-store.ts';
import { keys } from '../../../src/cluster/keys.ts';
import type { Store } from '../../../src/cluster/store.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { until } from '../../ground/harness.ts';

const KEYS = keys();
const SHOP = KEYS.project('shop');
const RANGE = SHOP.followed();

/** How often the store itself was asked. */
function counted() {
  const store = new MemoryStore(new MemoryCluster());
  const asked = { count: 0 };
  const counting: Store = Object.assign(Object.create(store), {
    list: (...words: Parameters<Store['list']>) => {
      asked.count++;
      return store.list(...words);
    },
    get: (...words: Parameters<Store['get']>) => store.get(...words),
    commit: (...words: Parameters<Store['commit']>) => store.commit(...words),
    follow: (...words: Parameters<Store['follow']>) => store.follow(...words),
  });
  return { store, asked, followed: followedStore(counting, KEYS) };
}

const put = (store: Store, component: string, value: string) =>
  store.commit([], [{ kind: 'put', key: SHOP.desired(component), value }]);

describe('a project that is asked for often', () => {
  test('is read from memory, as it is', async (t) => {
    const { store, asked, followed } = counted();
    t.after(() => store.close());
    await put(store, 'web', '1');
    const read = async () => (await followed.reading('shop').list(RANGE)).entries.map(({ value }) => value);
    for (let i = 0; i < 9; i++) assert.deepEqual(await read(), ['1']);
    assert.equal(asked.count, 9);
    await until(
      async () => {
        const before = asked.count;
        await read();
        return asked.count === before;
      },
      { timeoutMs: 5_000, what: 'a read from memory' },
    );
    await put(store, 'db', '2');
    await until(async () => (await read()).length === 2, { timeoutMs: 5_000, what: 'what another wrote' });
    const { entries } = await followed.reading('shop').list(RANGE, 1);
    assert.deepEqual(
      entries.map(({ key }) => key),
      [SHOP.desired('db')],
    );
  });

  test('is never read in a state older than what was written here', async (t) => {
    const { store, followed } = counted();
    t.after(() => store.close());
    for (let i = 0; i < 100; i++) {
      await put(followed.store, 'web', `${i}`);
      const { entries } = await followed.reading('shop').list(RANGE);
      assert.equal(entries[0]?.value, `${i}`);
    }
  });

  test('is asked of the store again when that is not heard of', async (t) => {
    const { store, followed } = counted();
    t.after(() => store.close());
    for (let i = 0; i < 20; i++) await followed.reading('shop').list(RANGE);
    store.disconnect();
    await assert.rejects(followed.reading('shop').list(RANGE), { code: 'cluster-unreachable' });
  });
});

test('a release is remembered for a while, and nothing else that is called so', async (t) => {
  const { store, followed } = counted();
  t.after(() => store.close());
  const odd = KEYS.project('releases').desired('web');
  const [release, strange] = [SHOP.release('web', 1), `${SHOP.release('web', 1)}/more`];
  const keysOf = [release, strange, odd, SHOP.ended('releases')];
  const write = (value: string) =>
    store.commit(
      [],
      keysOf.map((key) => ({ kind: 'put', key, value })),
    );
  const read = () => Promise.all(keysOf.map(async (key) => (await followed.reading('shop').get(key))?.value));
  await write('1');
  assert.deepEqual(await read(), ['1', '1', '1', '1']);
  await write('2');
  assert.deepEqual(await read(), ['1', '2', '2', '2']);
});
