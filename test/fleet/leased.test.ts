/** The keys by which a host tells how it is come back when somebody removes them or restores etcd to before them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { LeasedKeys } from '../../src/fleet/leased.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { MemoryStore } from '../cluster/memory-store.ts';
import { type Cleanup, until } from '../ground/harness.ts';

const [HOST, STATUS, OTHER] = ['/g/hosts/a', '/g/status/web', '/g/status/db'];
const WAIT = { timeoutMs: 10_000 };

async function told(t: Cleanup) {
  const { cluster, leased, holds, run } = open();
  for (const key of [HOST, STATUS, OTHER]) leased.put(key, { release: 1 }, { news: true });
  run(t);
  await until(() => holds(OTHER, 1), { ...WAIT, what: 'the keys to be told' });
  return { cluster, leased, holds };
}

function open() {
  const cluster = new MemoryCluster();
  const store = new MemoryStore(cluster);
  const ended = new AbortController();
  const session = store.session({ ttlMs: 60_000, onChange: () => leased.leaseChanged() });
  const onTrouble = (error: unknown) => assert.fail(String(error));
  const leased: LeasedKeys = new LeasedKeys({ store, session, proof: HOST, onTrouble });
  const run = (t: Cleanup) => {
    const running = leased.run(ended.signal);
    t.after(async () => {
      ended.abort();
      await running;
      await store.close();
      cluster.shutDown();
    });
  };
  const holds = (key: string, release: number) => cluster.get(key)?.value === JSON.stringify({ release });
  return { cluster, leased, holds, run };
}

test('all are told again when they were removed, at once when that is suspected', async (t) => {
  const { cluster, leased, holds } = await told(t);
  cluster.commit(
    [],
    [HOST, STATUS, OTHER].map((key) => ({ kind: 'delete', key })),
  );
  leased.doubt();
  const back = () => [HOST, STATUS, OTHER].every((key) => holds(key, 1));
  await until(back, { ...WAIT, what: 'all keys to be back' });
});

test('all are told again when etcd has an older one, whichever it is', async (t) => {
  const { cluster, leased, holds } = await told(t);
  const backup = cluster.snapshot();
  leased.put(STATUS, { release: 2 }, { news: true });
  await until(() => holds(STATUS, 2), { ...WAIT, what: 'the news' });
  cluster.restore(backup);
  assert.ok(holds(HOST, 1) && holds(STATUS, 1));
  leased.doubt();
  await until(() => holds(STATUS, 2), { ...WAIT, what: 'the news to be told again' });
});

test('nothing is written when all is as it was told', async (t) => {
  const { cluster, leased } = await told(t);
  leased.put(STATUS, { release: 2 }, { news: true });
  await until(() => cluster.get(STATUS)?.value === '{"release":2}', { ...WAIT, what: 'the news' });
  const { revision } = cluster;
  leased.doubt();
  leased.put(OTHER, { release: 3 }, { news: true });
  await until(() => cluster.get(OTHER)?.value === '{"release":3}', { ...WAIT, what: 'more news' });
  leased.doubt();
  leased.put(HOST, { release: 4 }, { news: true });
  await until(() => cluster.get(HOST)?.value === '{"release":4}', { ...WAIT, what: 'the last news' });
  assert.equal(cluster.revision, revision + 2);
});

test('what is no news is written at once where the last write is long ago', async (t) => {
  const { leased, holds, run } = open();
  run(t);
  await turn(); // it has found nothing to write, and rests
  leased.put(STATUS, { release: 1 }, { news: false });
  await until(() => holds(STATUS, 1), { timeoutMs: 500, what: 'the first write' });
});
