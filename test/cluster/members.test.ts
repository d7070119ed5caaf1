/** Three members of etcd, of which some have bad days. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PING_EVERY_MS, PING_TIMEOUT_MS } from '../../src/cluster/options.ts';
import { skipWithoutEtcd, startEtcd } from '../ground/etcd.ts';
import { fails } from './contract.ts';
import { followed, held, opened, soon, timed, valueIn, write } from './setting.ts';

const SLACK_MS = 3000;
/** etcd ends watches with `hasleader` after three election timeouts. */
const LEADERLESS_MS = 3500;

describe('A store on three members', { skip: skipWithoutEtcd, concurrency: 2 }, () => {
  test('goes on when the leader is killed, without a write or event lost', async (t) => {
    const etcd = await startEtcd(t, { members: 3 });
    const store = opened(t, etcd);
    const mirrors = [await followed(store), await followed(opened(t, etcd)), await followed(opened(t, etcd))];
    const session = await held(store);
    await write(store, 'n', '0');
    const leader = await etcd.leader();
    for (let n = 1; n <= 200; n++) {
      if (n === 50) await etcd.kill(leader);
      if (n === 150) await etcd.start(leader);
      await write(store, 'n', String(n));
    }
    for (const mirror of mirrors)
      await soon('the mirror has the last', () => mirror.current && valueIn(mirror, 'n') === '200');
    assert.ok(session.lease());
  });

  test('a commit that cannot be done twice waits for the next leader, asked again where the last one kept it', async (t) => {
    const etcd = await startEtcd(t, { members: 3 });
    const leader = await etcd.leader();
    const endpoints = etcd.endpoints.filter((_, member) => member !== leader);
    const store = opened(t, { endpoints, callTimeoutMs: 10_000 }); // votes may be split, again and again
    await write(store, 'n', '0');
    let { modRevision = 0 } = (await store.get('/t/n')) ?? {};
    await etcd.kill(leader);
    for (let n = 1; n <= 3; n++) {
      const conditions = [{ key: '/t/n', modRevision }];
      const { done, revision } = await store.commit(conditions, [
        { kind: 'put', key: '/t/n', value: String(n) },
      ]);
      assert.ok(done);
      modRevision = revision;
    }
    assert.equal((await store.get('/t/n'))?.value, '3');
  });

  test('passes over a member that hangs', async (t) => {
    const etcd = await startEtcd(t, { members: 3 });
    const stores = Array.from({ length: 6 }, () => opened(t, etcd));
    const mirrors = await Promise.all(stores.map(followed));
    await etcd.pause(((await etcd.leader()) + 1) % 3);
    await Promise.all(stores.map((store) => store.get('/t/a'))); // within the deadline of the call
    await Promise.all(stores.map((store, i) => write(store, String(i), '1')));
    for (const mirror of mirrors)
      await soon(
        'every mirror has all',
        () => mirror.current && mirror.entries.size === stores.length,
        PING_EVERY_MS + PING_TIMEOUT_MS + SLACK_MS,
      );
  });

  test('says that nobody leads when most are gone, and is well when they are back', async (t) => {
    const etcd = await startEtcd(t, { members: 3 });
    const leader = await etcd.leader();
    const store = opened(t, { endpoints: etcd.endpoints.slice((leader + 2) % 3).slice(0, 1) }); // the one that stays
    const mirror = await followed(store);
    await write(store, 'a', '1');
    await etcd.kill(leader);
    await etcd.kill((leader + 1) % 3);
    await soon('the mirror knows', () => !mirror.current, LEADERLESS_MS + SLACK_MS);
    const took = await timed(() => fails(store.get('/t/a'), 'cluster-unreachable'));
    assert.ok(took < 3000 + SLACK_MS, `${took} ms`);
    await fails(store.commit([], []), 'cluster-unreachable');
    await soon('it says why', () => /no leader|no answer/.test(mirror.trouble ?? ''));
    await etcd.start(leader);
    await write(store, 'a', '2');
    await soon('the mirror has it', () => mirror.current && valueIn(mirror, 'a') === '2');
  });
});
