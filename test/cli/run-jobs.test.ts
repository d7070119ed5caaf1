import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { type RunJobsInput, runJobs } from '../../src/cli/run-jobs.ts';
import type { AgentEvent } from '../../src/events.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { tempFolder, until } from '../ground/harness.ts';
import { ground, KEYS } from '../jobs/intents-ground.ts';

test('jobs that cannot run on a host are told of once, and end nothing else', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.after(() => void taken.close());
  const at = taken.address();
  const told: AgentEvent[] = [];
  const ended = new AbortController();
  const running = runJobs(
    {
      ...{ store: ground().store, keys: KEYS, project: 'shop', host: 'h1', hostId: 'id-1', labels: {} },
      ...{ engine: new FakeEngine(), stateDir: await tempFolder(t), slots: 1 },
      ...{ address: '127.0.0.1', apiAddress: undefined },
      apiPort: typeof at === 'object' && at !== null ? at.port : 0,
      secrets: { values: async () => new Map(), auth: async () => ({}) },
      emit: (event: AgentEvent) => void told.push(event),
    } as unknown as RunJobsInput,
    ended.signal,
  );
  await until(() => told.length > 0, { timeoutMs: 5_000, what: 'the trouble' });
  const [event] = told;
  assert.ok(event?.kind === 'trouble' && event.code === 'port-taken', JSON.stringify(told));
  assert.match(
    event.message,
    /^Jobs do not run here: the API cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/,
  );
  ended.abort();
  await running;
  assert.equal(told.length, 1);
});
