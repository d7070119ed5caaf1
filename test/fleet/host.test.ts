/** An agent as a whole, as it begins and as it ends: real agents around engines, proxies and etcd in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDLE } from '../docker/fake-engine.ts';
import { until } from '../ground/harness.ts';
import { presentEverywhere, startFleet } from './fleet-ground.ts';

const QUICK = { update: { maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 60_000 } } as const;

test('an agent that takes along what runs takes it, and the next one brings it back', async (t) => {
  const slow = () => ({ ...IDLE, term: { afterMs: 300, exitCode: 143 } });
  const fleet = await startFleet(t, { hosts: ['a'], images: ['app:1'], programs: slow, stopOnExit: true });
  const { engine, ...a } = fleet.host('a');
  await presentEverywhere(fleet);
  await fleet.update(1, QUICK);
  await fleet.ended();
  engine.calls.length = 0;
  await a.stop();
  assert.deepEqual(a.serving(), []);
  assert.deepEqual(await engine.containers({}), []);
  const begun = engine.calls.filter((c) => c.startsWith('create') || c.startsWith('start'));
  assert.deepEqual(begun, [], 'nothing comes up on the way');
  assert.deepEqual(fleet.statuses(), [], 'its keys are gone');
  a.start();
  await until(() => a.serving()[0] === 1, { timeoutMs: 5000, what: 'release 1 to be back' });
});
