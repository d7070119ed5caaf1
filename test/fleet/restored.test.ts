/** An etcd that is restored in the middle of a rollout must not have more hosts change at once than the update allows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDLE, type Program } from '../docker/fake-engine.ts';
import { until } from '../ground/harness.ts';
import { presentEverywhere, startFleet, type TestFleet } from './fleet-ground.ts';

const READY_AFTER_MS = 150;
const WAIT_MS = 10_000;

const SLOW = {
  readyTimeoutMs: 5_000,
  readyChecks: [
    { kind: 'exec', id: 'ready', command: ['ready'], intervalMs: 20, timeoutMs: 500, fall: 3, rise: 1 },
  ],
  update: { order: 'start-first', maxParallel: 1, onFailure: 'rollback', monitorMs: 0, keepOldMs: 60_000 },
} as const;

/** Of each container. */
function readyLate(): Program {
  const readyAt = performance.now() + READY_AFTER_MS;
  return { ...IDLE, exec: () => ({ exitCode: performance.now() < readyAt ? 1 : 0, output: '' }) };
}

interface Start {
  readonly host: string;
  /** Hosts on which the release was already coming up, and not switched to. */
  readonly beside: readonly string[];
}

/** Each start of a container of release 2 from now on. */
function watchStarts(fleet: TestFleet): readonly Start[] {
  const starts: Start[] = [];
  const coming = new Map<string, () => boolean>();
  for (const { name, engine, serving } of fleet.hosts) {
    const start = engine.start.bind(engine);
    engine.start = async (id) => {
      if (engine.releaseOf(id) === 2) {
        const others = [...coming].filter(([host, isComing]) => host !== name && isComing());
        starts.push({ host: name, beside: others.map(([host]) => host) });
        coming.set(name, () => engine.runs(id) && !serving().includes(2));
      }
      await start(id);
    };
  }
  return starts;
}

for (const state of ['preparing', 'running'] as const)
  test(`a rollout whose etcd is restored to when it was ${state} still goes through one host at a time`, async (t) => {
    const fleet = await startFleet(t, {
      hosts: ['a', 'b', 'c'],
      images: ['app:1', 'app:2'],
      programs: readyLate,
    });
    await presentEverywhere(fleet);
    await fleet.update(1, SLOW);
    await fleet.ended();
    const starts = watchStarts(fleet);
    await fleet.update(2, SLOW, 1);
    await until(() => fleet.rollout()?.state === state, { timeoutMs: WAIT_MS, what: `it to be ${state}` });
    const snapshot = fleet.cluster.snapshot();
    await until(() => starts.length === 2, { timeoutMs: WAIT_MS, what: 'the second turn' });
    fleet.cluster.restore(snapshot);
    const isThrough = () => fleet.hosts.every((host) => host.serving().includes(2));
    await until(isThrough, { timeoutMs: WAIT_MS, what: 'all to serve the release' });
    assert.deepEqual(
      starts.filter(({ beside }) => beside.length > 0),
      [],
    );
    assert.equal((await fleet.ended()).state, 'done');
  });
