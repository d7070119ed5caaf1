import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunValue } from '../../src/cluster/job-values.ts';
import type { Seen } from '../../src/jobs/jobs-view.ts';
import { Losses } from '../../src/jobs/losses.ts';
import { claimed, newRun } from '../../src/jobs/runs.ts';
import type { Surroundings } from '../../src/jobs/surroundings.ts';
import { KEYS, PROJECT } from './hosts-ground.ts';
import { AT, aJob } from './job-values.ts';

/** As much of a host as it takes, its clock moved by hand. */
function ground() {
  const made = newRun({ id: 'a', job: aJob(), input: { kind: 'none' }, by: 'ann', at: AT });
  const value = claimed(made, { host: 'h2', hostId: 'id-h2', at: AT });
  const state = { now: 0, commits: 0 };
  const store = {
    commit: async () => {
      state.commits++;
      return { done: true, revision: 2 };
    },
  };
  const around = {
    input: { host: 'h1', hostId: 'id-h1', store, keys: KEYS },
    keys: PROJECT,
    mirror: { current: true },
    view: { runs: new Map<string, Seen<RunValue>>([['a', { value, revision: 1 }]]), claims: new Map() },
    clock: { wall: () => AT + state.now, steady: () => state.now },
    tell: () => {},
  } as unknown as Surroundings;
  const losses = new Losses(around);
  const look = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      state.now += 1_000;
      await losses.look();
    }
    return state.commits;
  };
  return { state, look };
}

test('a run without a claim is lost after a while', async () => {
  const { look } = ground();
  assert.equal(await look(44), 0);
  assert.ok((await look(5)) > 0);
});

test('a host that was stopped itself counts anew: what it sees may be from before', async () => {
  const { state, look } = ground();
  await look(5);
  state.now += 60_000;
  assert.equal(await look(40), 0);
  assert.ok((await look(10)) > 0);
});
