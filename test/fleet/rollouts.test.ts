/** Rollouts through a fleet in one process: real agents, with engines, proxies and a coordinator in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../ground/harness.ts';
import { startFleet, type TestFleet } from './fleet-ground.ts';

const HOSTS = ['a', 'b', 'c'];
const QUICK = { update: { maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 60_000 } } as const;

test('an update goes through all hosts, and never do two have their turn', async (t) => {
  const fleet = await startFleet(t, { hosts: HOSTS, images: ['app:1', 'app:2'] });
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  assert.equal((await fleet.ended()).state, 'done');
  await fleet.update(2, QUICK, 1);
  assert.equal((await fleet.ended()).state, 'done');
  for (const host of fleet.hosts) assert.deepEqual(host.serving(), [2], host.name);
});

async function presentEverywhere(fleet: TestFleet): Promise<void> {
  await fleet.put(fleet.keys.config, {
    ...{ format: 1, project: 'shop', by: 'me@here', at: new Date().toISOString() },
    file: { components: [{ name: 'web', repo: 'app' }] },
  });
  const all = () => fleet.statuses().length === fleet.hosts.length;
  await until(all, { timeoutMs: 5000, what: 'all hosts to be there' });
}
