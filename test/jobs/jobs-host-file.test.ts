import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFileStore } from '../../src/cluster/file/file-store.ts';
import { readRun } from '../../src/cluster/job-values.ts';
import { runJobsHost } from '../../src/jobs/jobs-host.ts';
import { newRun } from '../../src/jobs/runs.ts';
import { type Cleanup, tempFolder, until } from '../ground/harness.ts';
import { hostInput, KEYS, PROJECT, World } from './hosts-ground.ts';
import { aJob } from './job-values.ts';

const WAIT = { timeoutMs: 10_000 };

test('on one box a command and a runner share the work, and each ends when it is done', async (t) => {
  const { store, stateDir, submit, ended } = await box(t);
  await submit('a');
  await submit('b');
  const began: string[] = [];
  const process = (more: object) => {
    const input = { ...hostInput(new World(), 'box'), store, stateDir, now: Date.now, alone: false, ...more };
    return runJobsHost(
      {
        ...input,
        execute: async ({ run, onSteps }) => {
          began.push(run.id);
          onSteps([{ state: 'complete', exitCode: 0 }]);
          return { kind: 'exit', exitCode: 0, step: 0, why: '', lines: [] };
        },
      },
      new AbortController().signal,
    );
  };
  await process({ only: 'a' });
  assert.deepEqual([await ended('a'), await ended('b')], ['complete', undefined]);
  await process({ untilIdleMs: () => 50 });
  assert.deepEqual([await ended('b'), began], ['complete', ['a', 'b']]);
});

test('on one box what a process let go of is taken up by the next one at once', async (t) => {
  const { store, stateDir, submit, ended } = await box(t);
  await submit('a');
  let executions = 0;
  const input = { ...hostInput(new World(), 'box'), store, stateDir, now: Date.now, alone: false };
  const first = new AbortController();
  const running = runJobsHost(
    {
      ...input,
      execute: async ({ left }) => {
        executions += 1;
        await new Promise((resolve) => left.addEventListener('abort', resolve, { once: true }));
        return undefined;
      },
    },
    first.signal,
  );
  await until(() => executions === 1, { ...WAIT, what: 'it to run' });
  first.abort();
  await running;
  const again = {
    ...input,
    only: 'a',
    execute: async () => ({ kind: 'exit', exitCode: 3, step: 0, why: 'x', lines: [] }) as const,
  };
  const before = performance.now();
  await runJobsHost(again, new AbortController().signal);
  assert.equal(await ended('a'), 'failed');
  assert.ok(performance.now() - before < 5_000, 'it does not wait for a lease to end');
});

async function box(t: Cleanup) {
  const stateDir = await tempFolder(t);
  const store = openFileStore(join(stateDir, 'jobs'));
  t.after(() => store.close());
  const submit = (id: string) => {
    const made = newRun({ id, job: aJob(), input: { kind: 'none' }, by: 'ann', at: Date.now() });
    return store.commit(
      [],
      [{ kind: 'put', key: KEYS.project('shop').jobs.run(id), value: JSON.stringify(made) }],
    );
  };
  const ended = async (id: string) => readRun(await store.get(PROJECT.ended(id)))?.state;
  return { store, stateDir, submit, ended };
}
