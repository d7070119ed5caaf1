import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunValue } from '../../src/cluster/job-values.ts';
import type { Entry } from '../../src/cluster/store.ts';
import { JobsView } from '../../src/jobs/jobs-view.ts';
import { cancelWanted, claimed, withSteps } from '../../src/jobs/runs.ts';
import { PROJECT } from './hosts-ground.ts';
import { AT, aRun } from './job-values.ts';

const KEY = PROJECT.jobs.run('backup.1');

test('how far a run is is known, but no news; what becomes of it is', () => {
  const { view, change } = viewed();
  const running = claimed(aRun(), { host: 'h1', hostId: 'id-h1', at: AT });
  assert.deepEqual(change(aRun()), ['runs']);
  assert.deepEqual(change(running), ['runs']);
  assert.deepEqual(change(withSteps(running, [{ state: 'running' }])), []);
  assert.equal(view.runs.get('backup.1')?.value.steps[0]?.state, 'running');
  assert.equal(view.runs.get('backup.1')?.revision, 3);
  assert.deepEqual(change(cancelWanted(running, 'ann', AT)), ['runs']);
  assert.deepEqual(change({ ...running, attempt: 2 }), ['runs']);
  assert.deepEqual(change(undefined), ['runs']);
  assert.equal(view.runs.size, 0);
});

test('what no gantryd of this format wrote, and keys of others, are left out', () => {
  const { view, entries } = viewed();
  const foreign = [PROJECT.jobs.run('a/b'), PROJECT.jobs.run('c'), PROJECT.config];
  for (const key of foreign)
    entries.set(key, { key, value: '{"format":9}', createRevision: 1, modRevision: 1 });
  view.apply(entries, undefined);
  assert.equal(view.runs.size, 0);
});

function viewed() {
  const view = new JobsView(PROJECT.jobs);
  const entries = new Map<string, Entry>();
  let revision = 0;
  const change = (run: RunValue | undefined) => {
    revision += 1;
    const entry = { key: KEY, value: JSON.stringify(run), createRevision: 1, modRevision: revision };
    if (run === undefined) entries.delete(KEY);
    else entries.set(KEY, entry);
    return [...view.apply(entries, [KEY])];
  };
  return { view, entries, change };
}
