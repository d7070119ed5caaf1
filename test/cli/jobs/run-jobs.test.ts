import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type PeerApi, type RunJobsInput, runJobs } from '../../../src/cli/jobs/run-jobs.ts';
import type { AgentEvent } from '../../../src/events.ts';
import { FakeEngine } from '../../docker/fake-engine.ts';
import { tempFolder, until } from '../../ground/harness.ts';
import { ground, KEYS } from '../../jobs/intents/intents-ground.ts';

const SOON = { timeoutMs: 5_000, what: 'it to be told' };

async function begin(t: TestContext, over: Partial<RunJobsInput>) {
  const told: AgentEvent[] = [];
  const served: PeerApi[] = [];
  const ended = new AbortController();
  const { store, cluster } = ground();
  const running = runJobs(
    {
      ...{ store, keys: KEYS, project: 'shop', host: 'h1', hostId: 'id-1', labels: {} },
      ...{ engine: new FakeEngine(), stateDir: await tempFolder(t), slots: 1, jobs: true },
      ...{ address: '127.0.0.1', apiAddress: undefined, apiPort: 0 },
      secrets: { values: async () => new Map(), auth: async () => ({}) },
      emit: (event: AgentEvent) => void told.push(event),
      onServing: (api: PeerApi) => void served.push(api),
      ...over,
    } as unknown as RunJobsInput,
    ended.signal,
  );
  const end = async () => {
    ended.abort();
    await running;
  };
  t.after(end);
  return { told, served, end, cluster };
}

test('jobs that cannot run on a host are told of once, and end nothing else', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.after(() => void taken.close());
  const at = taken.address();
  const apiPort = typeof at === 'object' && at !== null ? at.port : 0;
  const { told, served, end } = await begin(t, { apiPort });
  await until(() => told.length > 0, SOON);
  const [event] = told;
  assert.ok(event?.kind === 'trouble' && event.code === 'port-taken', JSON.stringify(told));
  assert.match(
    event.message,
    /^Jobs do not run here: the API cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/,
  );
  await end();
  assert.deepEqual([told.length, served], [1, []]);
});

for (const jobs of [true, false])
  test(`an agent ${jobs ? 'with' : 'without'} jobs answers who shows its token`, async (t) => {
    const { served, cluster, end } = await begin(t, { jobs });
    const [api] = await until(() => (served.length > 0 ? served : undefined), SOON);
    const ask = (token = '') =>
      fetch(`http://${api?.address}:${api?.port}/v1/components/web/log`, {
        headers: { authorization: `Bearer ${token}` },
      });
    const answer = await ask(api?.token);
    assert.deepEqual([answer.status, (await ask('no')).status], [200, 401]);
    await answer.text();
    const executors = () => cluster.list(KEYS.project('shop').jobs.executors()).entries.length;
    if (jobs) await until(() => executors() === 1, SOON);
    else assert.equal(executors(), 0);
    await end();
    await assert.rejects(ask(api?.token), /fetch failed/);
  });
