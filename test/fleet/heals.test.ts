/** A host heals whatever the fleet is at: real agents over engines, proxies and etcd in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDLE, type Program } from '../docker/fake-engine.ts';
import { until } from '../ground/harness.ts';
import { presentEverywhere, startFleet, type TestHost } from './fleet-ground.ts';

const SOON = { timeoutMs: 20_000 };
const PAUSES = {
  readyTimeoutMs: 60_000,
  readyChecks: [
    { kind: 'exec', id: 'ready', command: ['ready'], intervalMs: 50, timeoutMs: 500, fall: 3, rise: 1 },
  ],
  update: { order: 'start-first', maxParallel: 1, onFailure: 'pause', monitorMs: 0, keepOldMs: 0 },
} as const;

test('a host heals during a rollout, after a failed one, and while etcd is away, and tells what died', async (t) => {
  const programs = (image: string): Program => ({
    ...IDLE,
    prints: [`this is ${image}`],
    exec: () => ({ exitCode: image === 'app:2' ? 1 : 0, output: '' }),
  });
  const fleet = await startFleet(t, { hosts: ['a', 'b'], images: ['app:1', 'app:2'], programs });
  await presentEverywhere(fleet);
  await fleet.update(1, PAUSES);
  await fleet.ended();
  await fleet.update(2, PAUSES, 1);
  const tries = async (h: TestHost) => (await h.engine.containers({})).find((c) => c.release === 2)?.id;
  const first = await until(() => firstOf(fleet.hosts, tries), { ...SOON, what: 'a host to have its turn' });
  const second = fleet.hosts.find((h) => h !== first) ?? assert.fail();

  await tells(second, await heals(second));
  assert.equal(fleet.rollout()?.state, 'running');
  first.engine.die((await tries(first)) ?? '');
  assert.equal((await fleet.ended()).state, 'paused');
  await tells(first, await heals(first));
  for (const { store } of fleet.hosts) store.disconnect();
  const died = await Promise.all(fleet.hosts.map(heals));
  for (const { store } of fleet.hosts) store.connect();
  await Promise.all(fleet.hosts.map((host, i) => tells(host, died[i] ?? '')));
  assert.equal(fleet.rollout()?.state, 'paused');

  /** Lets the one that serves die of memory; answers its id once another serves. */
  async function heals(host: TestHost): Promise<string> {
    const id = await until(() => serving(host), { ...SOON, what: `one to serve on ${host.name}` });
    host.engine.die(id, { exitCode: 137, oomKilled: true });
    const healed = async () => ![undefined, id].includes(await serving(host));
    await until(healed, { ...SOON, what: `${host.name} to heal` });
    return id;
  }

  async function tells({ name }: TestHost, id: string): Promise<void> {
    const died = () => fleet.statuses().find((s) => s.host === name)?.died;
    await until(() => died()?.container === id, { ...SOON, what: `${name} to tell what died` });
    const { at: _, ...words } = died() ?? assert.fail();
    assert.deepEqual(words, { container: id, exitCode: 137, oomKilled: true, logs: ['this is app:1'] });
  }
});

/** The container of release 1 that serves; undefined: none does. */
async function serving(host: TestHost): Promise<string | undefined> {
  if (host.serving().join() !== '1') return undefined;
  const running = (await host.engine.containers({})).filter((c) => c.state === 'running' && c.release === 1);
  return running.length === 1 ? running[0]?.id : undefined;
}

/** The first for which there is an answer. */
async function firstOf<T>(all: readonly T[], ask: (one: T) => Promise<unknown>): Promise<T | undefined> {
  const answers = await Promise.all(all.map(ask));
  return all.find((_, i) => answers[i] !== undefined);
}
