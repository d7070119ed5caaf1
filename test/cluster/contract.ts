/**
 * What every Store promises, as tests that the memory store and real etcd pass alike.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { Mirror, Range, Session, Store } from '../../src/cluster/store.ts';
import { startingWith } from '../../src/cluster/store.ts';
import { type ErrorCode, isGantryError } from '../../src/errors.ts';
import { until } from '../ground/harness.ts';

/** What differs between memory and etcd. */
export interface Ground {
  /** Why the suite does not run; false: it runs. */
  readonly skip: string | false;
  setUp(): Promise<void>;
  tearDown(): Promise<void>;
  open(): Store;
  /** As if it had run out. */
  endLease(lease: string): Promise<void>;
  /** Answers how to bring back the state of now, with its revision. */
  snapshot(): Promise<() => Promise<void>>;
}

/** The shortest that etcd grants, by its election timeout. */
const TTL_MS = 2000;
const TIMEOUT_MS = 10_000;

export function storeContract(name: string, ground: Ground): void {
  describe(`${name} keeps the store's contract`, { skip: ground.skip }, () => {
    let prefix: string;
    let all: Range;
    let store: Store;
    let other: Store;

    const key = (name: string) => `${prefix}${name}`;
    const put = (name: string, value: string, by = store) =>
      by.commit([], [{ kind: 'put', key: key(name), value }]);
    const drop = (name: string, by = store) => by.commit([], [{ kind: 'delete', key: key(name) }]);
    const held = async (onChange: (session: Session) => void = () => {}) => {
      const session: Session = store.session({ ttlMs: TTL_MS, onChange: () => onChange(session) });
      const lease = await soon('the session is held', () => session.lease());
      return { session, lease };
    };
    const followed = async (onChange: (mirror: Mirror) => void = () => {}, range = all) => {
      const mirror: Mirror = store.follow({ range, onChange: () => onChange(mirror) });
      await mirror.listed(AbortSignal.timeout(TIMEOUT_MS));
      await soon('the mirror is current', () => mirror.current);
      return mirror;
    };

    before(() => ground.setUp());
    beforeEach(() => {
      prefix = `/t-${randomBytes(6).toString('hex')}/`;
      all = startingWith(prefix);
      store = ground.open();
      other = ground.open();
    });
    afterEach(() => Promise.all([store.close(), other.close()]));
    after(() => ground.tearDown());

    test('get: an absent key is undefined, a written one has its value and revisions', async () => {
      assert.equal(await store.get(key('a')), undefined);
      const first = await put('a', '{"n":1}');
      const second = await put('a', '{"n":"ü"}');
      assert.ok(second.revision > first.revision);
      assert.deepEqual(await other.get(key('a')), {
        key: key('a'),
        value: '{"n":"ü"}',
        createRevision: first.revision,
        modRevision: second.revision,
      });
    });

    test('a key that was deleted and written again has a new create revision', async () => {
      await put('a', '1');
      await drop('a');
      const { revision } = await put('a', '2');
      assert.equal((await store.get(key('a')))?.createRevision, revision);
    });

    test('list and count: what is in the range, in order of the keys, without its end', async () => {
      for (const name of ['b', 'a/2', 'a', 'c', 'a/1']) await put(name, '0');
      const { entries, revision } = await store.list({ from: key('a'), to: key('c') });
      assert.deepEqual(
        entries.map((entry) => entry.key),
        ['a', 'a/1', 'a/2', 'b'].map(key),
      );
      assert.ok(revision >= Math.max(...entries.map((entry) => entry.modRevision)));
      assert.equal(await store.count(all), 5);
      assert.equal(await store.count({ from: key('x'), to: key('y') }), 0);
      const [first, ...more] = (await store.list({ from: key('a'), to: key('c') }, 1)).entries;
      assert.deepEqual([first, more], [entries[0], []]);
      assert.deepEqual((await store.list({ from: key('x'), to: key('y') })).entries, []);
    });

    test('commit: a condition on the last write', async () => {
      const { revision } = await put('a', '1');
      const change = (modRevision: number) =>
        store.commit([{ key: key('a'), modRevision }], [{ kind: 'put', key: key('a'), value: '2' }]);
      assert.equal((await change(revision - 1)).done, false);
      assert.equal((await store.get(key('a')))?.value, '1');
      assert.equal((await change(revision)).done, true);
      assert.equal((await change(revision)).done, false);
    });

    test('commit: a condition on the creation, and on absence', async () => {
      const create = (by: Store) =>
        by.commit([{ key: key('a'), createRevision: 0 }], [{ kind: 'put', key: key('a'), value: '1' }]);
      const made = await create(store);
      assert.equal(made.done, true);
      assert.equal((await create(other)).done, false);
      await put('a', '2');
      const on = { key: key('a'), createRevision: made.revision };
      assert.equal((await store.commit([on], [{ kind: 'delete', key: key('a') }])).done, true);
      assert.equal((await store.commit([{ key: key('a'), modRevision: 0 }], [])).done, true);
    });

    test('commit: all writes or none, under one revision', async () => {
      await put('a', '1');
      const writes = [
        { kind: 'put', key: key('b'), value: '2' },
        { kind: 'delete', key: key('a') },
        { kind: 'put', key: key('c'), value: '3' },
      ] as const;
      const conditions = [
        { key: key('a'), modRevision: 0 },
        { key: key('b'), modRevision: 0 },
      ];
      assert.equal((await store.commit(conditions, writes)).done, false);
      assert.equal(await store.count(all), 1);
      const { done, revision } = await store.commit(conditions.slice(1), writes);
      assert.equal(done, true);
      const { entries } = await store.list(all);
      assert.deepEqual(
        entries.map((entry) => [entry.key, entry.modRevision]),
        [
          [key('b'), revision],
          [key('c'), revision],
        ],
      );
    });

    test('commit: to delete what is not there is done and no write', async () => {
      const { revision } = await put('a', '1');
      const dropped = await drop('b');
      assert.deepEqual([dropped.done, dropped.revision], [true, revision]);
    });

    test('commit: a key given twice, or more than 128 of them, is refused whole', async () => {
      const puts = (count: number, name: (i: number) => string) =>
        Array.from({ length: count }, (_, i) => ({ kind: 'put', key: key(name(i)), value: '1' }) as const);
      await fails(
        store.commit(
          [],
          puts(2, () => 'a'),
        ),
        'cluster-failed',
      );
      await fails(store.commit([], puts(129, String)), 'cluster-failed');
      assert.equal(await store.count(all), 0);
      assert.equal((await store.commit([], puts(128, String))).done, true);
    });

    test('of many that create the same key at the same time one wins', async () => {
      const attempts = Array.from({ length: 20 }, (_, i) =>
        (i % 2 ? store : other).commit(
          [{ key: key('a'), createRevision: 0 }],
          [{ kind: 'put', key: key('a'), value: String(i) }],
        ),
      );
      const done = (await Promise.all(attempts)).map((answer) => answer.done);
      assert.equal(done.filter(Boolean).length, 1);
      assert.equal((await store.get(key('a')))?.value, String(done.indexOf(true)));
    });

    test('a session is held for less than its time to live, and on and on', async () => {
      const { session, lease } = await held();
      await store.commit([], [{ kind: 'put', key: key('a'), value: '1', lease }]);
      const end = performance.now() + TTL_MS * 1.6;
      await soon('longer than its time', () => {
        const left = session.heldForMs();
        assert.ok(left > 0 && left < TTL_MS, `held for ${left} ms`);
        assert.equal(session.lease(), lease);
        return performance.now() > end;
      });
      assert.ok(await other.get(key('a')));
    });

    test("a session's end takes its keys with it, but not those that were written without it since", async () => {
      const { session, lease } = await held();
      for (const name of ['a', 'b'])
        await store.commit([], [{ kind: 'put', key: key(name), value: '1', lease }]);
      await put('b', '2', other);
      await session.close();
      assert.deepEqual([session.lease(), session.heldForMs()], [undefined, 0]);
      assert.deepEqual(
        (await other.list(all)).entries.map(({ key, value }) => [key, value]),
        [[key('b'), '2']],
      );
      await session.close();
    });

    test('a session that is abandoned is held no more, and its keys stay for as long as its lease', async () => {
      const { session, lease } = await held();
      await store.commit([], [{ kind: 'put', key: key('a'), value: '1', lease }]);
      session.abandon();
      assert.deepEqual([session.lease(), session.heldForMs()], [undefined, 0]);
      await store.close();
      assert.ok(await other.get(key('a')));
      await soon('its key to be gone', async () => (await other.get(key('a'))) === undefined);
    });

    test('a session whose lease was ended says so and gets another', async () => {
      const seen: (string | undefined)[] = [];
      const { session, lease } = await held((by) => seen.push(by.lease()));
      await store.commit([], [{ kind: 'put', key: key('a'), value: '1', lease }]);
      await ground.endLease(lease);
      assert.equal(await store.get(key('a')), undefined);
      const next = await soon('another lease', () => session.lease() !== lease && session.lease());
      assert.deepEqual(seen.slice(-2), [undefined, next]);
    });

    test('commit: under a lease that has ended nothing is written, and it throws', async () => {
      const { session, lease } = await held();
      await session.close();
      const writes = [
        { kind: 'put', key: key('a'), value: '1' },
        { kind: 'put', key: key('b'), value: '1', lease },
      ] as const;
      await fails(store.commit([], writes), 'cluster-failed');
      assert.equal(await store.count(all), 0);
    });

    test('follow: what is there, then what others write and delete', async () => {
      await put('a', '1');
      const mirror = await followed();
      assert.deepEqual(values(mirror), { [key('a')]: '1' });
      const { revision } = await put('b', '2', other);
      await soon('the write arrives', () => mirror.entries.has(key('b')));
      assert.ok(mirror.revision >= revision);
      assert.deepEqual(mirror.entries.get(key('b')), await store.get(key('b')));
      await drop('a', other);
      await soon('the deletion arrives', () => !mirror.entries.has(key('a')));
      assert.deepEqual(values(mirror), { [key('b')]: '2' });
    });

    test('follow: nothing of outside the range', async () => {
      const mirror = await followed(() => {}, { from: key('b'), to: key('d') });
      for (const name of ['a', 'd', 'c']) await put(name, '1', other);
      await soon('the last write arrives', () => mirror.entries.has(key('c')));
      assert.deepEqual(Object.keys(values(mirror)), [key('c')]);
    });

    test('follow: the writes of one commit appear together', async () => {
      const seen: string[] = [];
      const mirror = await followed((m) => seen.push(Object.values(values(m)).sort().join()));
      await other.commit(
        [],
        ['a', 'b', 'c'].map((name) => ({ kind: 'put', key: key(name), value: name })),
      );
      await soon('they arrive', () => mirror.entries.size === 3);
      assert.deepEqual(
        seen.filter((value) => value !== ''),
        ['a,b,c'],
      );
    });

    test('follow: it is told which keys are different', async () => {
      const told: (readonly string[] | undefined)[] = [];
      const mirror = store.follow({ range: all, onChange: (changed) => told.push(changed) });
      await mirror.listed(AbortSignal.timeout(TIMEOUT_MS));
      await soon('the mirror is current', () => mirror.current);
      await put('a', '1', other);
      await soon('it arrives', () => mirror.entries.has(key('a')));
      await put('b', '1', other);
      await drop('a', other);
      await soon('the deletion arrives', () => mirror.entries.has(key('b')) && !mirror.entries.has(key('a')));
      const keys = told.flatMap((changed) => changed ?? []);
      assert.deepEqual(keys, ['a', 'b', 'a'].map(key));
    });

    test('follow: after any number of writes the mirror is what a listing says', async () => {
      const mirror = await followed();
      const writes = Array.from({ length: 300 }, (_, i) => {
        const by = i % 2 ? store : other;
        return i % 5 === 4 ? drop(`k${(i * 7) % 40}`, by) : put(`k${(i * 7) % 40}`, String(i), by);
      });
      await Promise.all(writes);
      const last = await put('last', '1');
      await soon('the last arrives', () => mirror.revision >= last.revision);
      assert.deepEqual([...mirror.entries.values()].sort(byKey), (await store.list(all)).entries);
    });

    test('follow: a lease that ends is seen as deletion of its keys', async () => {
      const { lease } = await held();
      await store.commit([], [{ kind: 'put', key: key('a'), value: '1', lease }]);
      const mirror = await followed();
      assert.equal(mirror.entries.size, 1);
      await ground.endLease(lease);
      await soon('it is gone', () => mirror.entries.size === 0);
    });

    test('listed: rejects when aborted, then and before', async () => {
      const mirror = store.follow({ range: all, onChange: () => {} });
      const stop = new AbortController();
      const waiting = mirror.listed(stop.signal);
      stop.abort(new Error('enough'));
      await assert.rejects(waiting, /enough/);
      await mirror.listed(AbortSignal.timeout(TIMEOUT_MS));
    });

    test('a mirror that was closed tells nothing more', async () => {
      let told = 0;
      const mirror = await followed(() => told++);
      const witness = await followed();
      mirror.close();
      assert.equal(mirror.current, false);
      const before = told;
      await put('a', '1');
      await soon('the write arrives elsewhere', () => witness.entries.size === 1);
      assert.deepEqual([told, mirror.entries.size], [before, 0]);
      mirror.close();
    });

    test('after close nothing answers, and what it had open is closed', async () => {
      const { session } = await held();
      const mirror = await followed();
      await store.close();
      await store.close();
      assert.deepEqual([session.lease(), mirror.current], [undefined, false]);
      await fails(store.get(key('a')), 'cluster-failed');
      await fails(store.commit([], []), 'cluster-failed');
    });

    test('a store that is restored to an older state is followed there, and its revision falls', async () => {
      await put('a', '1');
      const restore = await ground.snapshot();
      const mirror = await followed();
      await put('a', '2');
      const { revision } = await put('b', '2');
      await soon('the writes arrive', () => mirror.entries.size === 2);
      await restore();
      await soon('the mirror is as then', () => mirror.current && mirror.entries.size === 1);
      assert.deepEqual(values(mirror), { [key('a')]: '1' });
      assert.ok(mirror.revision < revision, `${mirror.revision} after ${revision}`);
      await until(() => put('c', '3'), { timeoutMs: TIMEOUT_MS, what: 'it writes again' });
      await soon('new writes arrive', () => mirror.entries.has(key('c')));
    });
  });
}

export async function fails(call: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(isGantryError(error, code), `expected ${code}, got ${error}`);
    return true;
  });
}

export function values(mirror: Mirror): Record<string, string> {
  return Object.fromEntries([...mirror.entries.values()].map(({ key, value }) => [key, value]));
}

function soon<T>(what: string, check: () => T): Promise<NonNullable<T>> {
  return until(check, { timeoutMs: TIMEOUT_MS, what }) as Promise<NonNullable<T>>;
}

function byKey(a: { key: string }, b: { key: string }): number {
  return a.key < b.key ? -1 : 1;
}
