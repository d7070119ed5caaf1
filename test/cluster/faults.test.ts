/** One member of etcd has bad days. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PING_EVERY_MS, PING_TIMEOUT_MS } from '../../src/cluster/options.ts';
import { GantryError } from '../../src/errors.ts';
import { skipWithoutEtcd, startEtcd } from '../ground/etcd.ts';
import { fails } from './contract.ts';
import { lineTo } from './line.ts';
import { ALL, followed, held, opened, PREFIX, soon, TTL_MS, timed, valueIn, write } from './setting.ts';

/** Each try has a connection of its own, so it must be enough for one on a machine that is busy. */
const CALL_MS = 3000;
/** What may pass until something is noticed that takes no time itself, on a machine that is busy. */
const SLACK_MS = 3000;

describe('A store on etcd', { skip: skipWithoutEtcd, concurrency: 4 }, () => {
  test('says where it asked and what to do when etcd is down, and is right again when it is back', async (t) => {
    const etcd = await startEtcd(t);
    const store = opened(t, etcd);
    const mirror = await followed(store);
    await write(store, 'a', '1');
    await etcd.kill();
    await soon('the mirror knows', () => !mirror.current, SLACK_MS);
    await assert.rejects(store.get('/t/a'), (error) => {
      assert.ok(error instanceof GantryError);
      assert.deepEqual([error.code, error.retryable], ['cluster-unreachable', true]);
      assert.match(
        error.message,
        new RegExp(`^no etcd answers at ${etcd.endpoints[0]}: connect ECONNREFUSED`),
      );
      assert.match(error.hint ?? '', /Check the addresses/);
      return true;
    });
    assert.match(mirror.trouble ?? '', /^no etcd answers at /);
    assert.equal(valueIn(mirror, 'a'), '1');
    await etcd.start();
    await write(store, 'a', '2');
    await soon('the mirror has it', () => mirror.current && valueIn(mirror, 'a') === '2', 2 * SLACK_MS);
  });

  test('that is down at the start is waited for', async (t) => {
    const etcd = await startEtcd(t);
    await etcd.kill();
    const store = opened(t, etcd);
    const mirror = store.follow({ range: ALL, onChange: () => {} });
    const session = store.session({ ttlMs: TTL_MS, onChange: () => {} });
    const listed = mirror.listed(AbortSignal.timeout(20_000));
    await fails(store.commit([], []), 'cluster-unreachable');
    await soon('the mirror has tried', () => /ECONNREFUSED/.test(mirror.trouble ?? ''));
    assert.deepEqual([mirror.current, mirror.entries.size, session.lease()], [false, 0, undefined]);
    await etcd.start();
    await listed;
    await soon('both are there', () => mirror.current && session.lease(), 2 * SLACK_MS);
  });

  test('that hangs is noticed by calls, session and mirror in bounded time', async (t) => {
    const etcd = await startEtcd(t);
    const store = opened(t, { endpoints: etcd.endpoints, callTimeoutMs: CALL_MS });
    const mirror = await followed(store);
    const session = await held(store);
    const lease = session.lease();
    await etcd.pause();
    const since = performance.now();
    const took = await timed(() => fails(store.get('/t/a'), 'cluster-unreachable'));
    assert.ok(took < CALL_MS + SLACK_MS, `a call took ${took} ms`);
    await soon('the session is lost', () => !session.lease(), TTL_MS + SLACK_MS);
    assert.ok(performance.now() - since < TTL_MS + SLACK_MS);
    await soon('the mirror knows', () => !mirror.current, PING_EVERY_MS + PING_TIMEOUT_MS + SLACK_MS);
    etcd.resume();
    await soon('both are well', () => mirror.current && session.lease());
    assert.notEqual(session.lease(), lease);
    await write(store, 'a', '1');
    await soon('the mirror has it', () => valueIn(mirror, 'a') === '1', SLACK_MS);
  });

  test('that restarts within the time to live takes no lease', async (t) => {
    const etcd = await startEtcd(t);
    const store = opened(t, etcd);
    const session = store.session({ ttlMs: 15_000, onChange: () => changes.push(session.lease()) });
    const changes: (string | undefined)[] = [];
    const lease = await soon('it is held', () => session.lease());
    await etcd.restart();
    const left = session.heldForMs();
    await soon('it is renewed', () => session.heldForMs() > left);
    assert.deepEqual([session.lease(), changes], [lease, [lease]]);
  });

  test('a commit whose answer is lost throws, is not made twice, and may have happened', async (t) => {
    const etcd = await startEtcd(t);
    const line = await lineTo(t, etcd.endpoints[0] ?? '');
    const store = opened(t, { endpoints: [line.endpoint], callTimeoutMs: CALL_MS });
    await soon('the store answers', async () => [await store.get('/t/a')]);
    line.deafen();
    await fails(store.commit([], [{ kind: 'put', key: '/t/a', value: '1' }]), 'cluster-unreachable');
    const stored = async () => JSON.parse(await etcd.control('get', '/t/a', '-w', 'json')).kvs?.[0];
    assert.equal((await soon('it is done', stored)).version, 1);
    line.hear();
    await soon('the store answers', () => store.get('/t/a'));
  });

  test('a commit that cannot be done twice is asked of all, and its answer is that of whoever did it', async (t) => {
    const etcd = await startEtcd(t, { members: 3 });
    const lines = await Promise.all(etcd.endpoints.map((endpoint) => lineTo(t, endpoint)));
    const store = opened(t, { endpoints: lines.map(({ endpoint }) => endpoint), callTimeoutMs: 20_000 });
    await write(store, 'a', '1');
    const { modRevision = 0 } = (await store.get('/t/a')) ?? {};
    const commit = (value: string, revision: number) =>
      store.commit([{ key: '/t/a', modRevision: revision }], [{ kind: 'put', key: '/t/a', value }]);
    for (const line of lines) line.deafen();
    const committed = commit('2', modRevision);
    const other = opened(t, etcd);
    await soon('it is done', async () => (await other.get('/t/a'))?.value === '2');
    // Who was asked first has done it, and so the others refuse: only the first one's answer is true.
    for (const line of lines) line.hear();
    assert.equal((await committed).done, true);
    assert.equal((await commit('3', modRevision)).done, false);
  });

  test('while it was cut off thousands of writes came, and history was forgotten', async (t) => {
    const etcd = await startEtcd(t);
    const line = await lineTo(t, etcd.endpoints[0] ?? '');
    const mirror = await followed(opened(t, { endpoints: [line.endpoint] }));
    const other = opened(t, etcd);
    await write(other, 'gone', '1');
    await soon('it arrives', () => valueIn(mirror, 'gone'));
    await line.cut();
    for (let n = 0; n < 2500; n += 50)
      await other.commit(
        [],
        Array.from({ length: 50 }, (_, i) => ({ kind: 'put', key: `/t/${n + i}`, value: '1' })),
      );
    await other.commit([], [{ kind: 'delete', key: '/t/gone' }]);
    await etcd.compact();
    await line.mend();
    await soon('the mirror is current', () => mirror.current);
    assert.equal(mirror.entries.size, 2500);
    assert.deepEqual([...mirror.entries.values()].sort(byKey), (await other.list(ALL)).entries);
    await write(other, 'next', '1');
    await soon('events come again', () => valueIn(mirror, 'next') === '1', SLACK_MS);
  });

  test('compaction while it is followed changes nothing', async (t) => {
    const etcd = await startEtcd(t);
    const store = opened(t, etcd);
    const mirror = await followed(store);
    for (const value of ['1', '2', '3']) await write(store, 'a', value);
    await etcd.compact();
    await write(store, 'a', '4');
    await soon('it arrives', () => valueIn(mirror, 'a') === '4', SLACK_MS);
  });

  test('more than gRPC takes by itself is listed and followed', async (t) => {
    const etcd = await startEtcd(t);
    const store = opened(t, { ...etcd, callTimeoutMs: 20_000 });
    const megabyte = 'x'.repeat(1024 * 1024);
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await write(store, name, megabyte);
    assert.equal((await store.list(ALL)).entries.length, 6);
    assert.equal((await followed(store)).entries.size, 6);
  });

  test('keys that were wiped are gone from the mirror', async (t) => {
    const etcd = await startEtcd(t);
    const store = opened(t, etcd);
    const mirror = await followed(store);
    for (let n = 0; n < 20; n++) await write(store, String(n), '1');
    await soon('they are there', () => mirror.entries.size === 20, SLACK_MS);
    await etcd.wipe(PREFIX);
    await soon('they are gone', () => mirror.entries.size === 0, SLACK_MS);
  });

  test('etcd that lost its disk is an empty one, and is followed from there', async (t) => {
    const etcd = await startEtcd(t);
    const store = opened(t, etcd);
    const mirror = await followed(store);
    const session = await held(store);
    const lease = session.lease();
    for (let n = 0; n < 20; n++) await write(store, String(n), '1');
    const { revision } = mirror;
    await etcd.restore();
    await soon('the mirror is empty', () => mirror.current && mirror.entries.size === 0, 2 * SLACK_MS);
    assert.ok(mirror.revision < revision);
    await write(store, 'a', '1');
    await soon('events come', () => valueIn(mirror, 'a') === '1', SLACK_MS);
    await soon('a new lease', () => session.lease() && session.lease() !== lease, TTL_MS + SLACK_MS);
  });
});

function byKey(a: { key: string }, b: { key: string }): number {
  return a.key < b.key ? -1 : 1;
}
