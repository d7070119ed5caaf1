/** A proxy that is killed comes back by itself; one that is told to stop does not, and leaves nothing. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import http from 'node:http';
import { test } from 'node:test';
import { ensureProxy, upgradeProxy } from '../../../src/proxy/generations/launch.ts';
import { ask, until } from '../ground.ts';
import { openStreams, processesOf, stateDir, town } from '../process-ground.ts';

test('killed twice in a row, the proxy is back with its tables, and its standby is replaced', async (t) => {
  const folder = await stateDir(t);
  const { url, table } = await town(t);
  const client = await ensureProxy({ stateDir: folder });
  const owned = await client.put('shop', { ifRevision: 0, table: table('a') });
  const oneStandby = () => until('one waits', () => processesOf(folder, 'flock').length === 1);
  await oneStandby();
  const [ended = 0] = processesOf(folder, 'flock');
  process.kill(ended, 'SIGKILL');
  await until('another waits', () => {
    const [pid] = processesOf(folder, 'flock');
    return pid !== undefined && pid !== ended;
  });
  for (let left = 2; left > 0; left--) {
    const { pid } = await client.status();
    process.kill(pid, 'SIGKILL');
    await until(
      'another serves',
      async () => ((await client.status().catch(() => undefined))?.pid ?? pid) !== pid,
    );
    assert.deepEqual(await client.table('shop'), owned);
    assert.equal((await ask(url)).body, 'a');
    await oneStandby();
  }
});

test('killed after an upgrade, it is back as the newer one, with the older one that lives on', async (t) => {
  const folder = await stateDir(t);
  const made = await town(t);
  const client = await ensureProxy({ stateDir: folder });
  const { revision } = await client.put('shop', { ifRevision: 0, table: made.table('a') });
  const streams = await openStreams(t, made);
  const { was, now } = await upgradeProxy({ stateDir: folder });
  process.kill(now.pid, 'SIGKILL');
  const pidOf = async () => (await client.status().catch(() => undefined))?.pid;
  await until('another serves', async () => ![undefined, now.pid].includes(await pidOf()));
  assert.deepEqual(
    (await client.status()).older?.map(({ pid }) => pid),
    [was.pid],
  );
  await client.put('shop', { ifRevision: revision, table: made.table('b') });
  const left = (await client.status()).backends.find(({ id }) => id === 'a');
  assert.deepEqual([left?.open, left?.routed], [3, false]);
  for (const stream of streams) await stream.lives();
});

test('told to stop, it ends with its older ones and whoever would bring it back', async (t) => {
  const folder = await stateDir(t);
  const { url, table } = await town(t);
  const client = await ensureProxy({ stateDir: folder });
  await client.put('shop', { ifRevision: 0, table: table('a') });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  await ask(url, { agent });
  await upgradeProxy({ stateDir: folder });
  assert.equal(processesOf(folder, 'node').length, 2);
  await client.stop();
  await until('nothing runs', () => processesOf(folder).length === 0);
  assert.deepEqual((await readdir(folder)).sort(), ['proxy-tables.json', 'proxy.lock', 'proxy.log']);
});
