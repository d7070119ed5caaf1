import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readRun } from '../../../src/cluster/job-values.ts';
import {
  cancelRun,
  findRun,
  listExecutors,
  listRuns,
  pruneRuns,
  removeRun,
  submitRun,
} from '../../../src/jobs/intents/intents.ts';
import { claimed, ended, withSteps } from '../../../src/jobs/runs.ts';
import { fails } from '../../cluster/contract.ts';
import { meddled } from '../../fleet/intents/intents-ground.ts';
import { AT, aJob, anEnd, aStep } from '../job-values.ts';
import { AT_KEYS, claim, end, fleetOn, ground, keysIn, NO_INPUT, putIn } from './intents-ground.ts';

describe('submitRun', () => {
  test('a run is there to be claimed, named by its job and the time', async () => {
    const { fleet, cluster } = ground();
    const run = await submitRun(fleet, aJob(), NO_INPUT);
    assert.match(run.id, /^backup\.20261121T143022Z-/);
    assert.deepEqual(readRun(cluster.get(AT_KEYS.jobs.run(run.id))), run);
    assert.deepEqual([run.state, run.by], ['pending', 'ann@desk']);
  });

  test('a name of its own is used once, also after that run is over', async () => {
    const { fleet, cluster } = ground();
    const run = await submitRun(fleet, aJob(), { ...NO_INPUT, id: 'mine' });
    await fails(submitRun(fleet, aJob(), { ...NO_INPUT, id: 'mine' }), 'usage');
    end(cluster, run);
    for (const id of ['mine', '', '../mine', 'a b'])
      await fails(submitRun(fleet, aJob(), { ...NO_INPUT, id }), 'usage');
  });

  test('a record that the store could not take is refused, and says what to do', async () => {
    const { fleet, cluster } = ground();
    const input = { kind: 'inline', base64: 'A'.repeat(1_000_000) } as const;
    await assert.rejects(submitRun(fleet, aJob(), { input }), /the job is too large: .* at most 800000/);
    assert.deepEqual(keysIn(cluster), []);
  });

  test('a record that was taken can be written however its attempts end', async () => {
    const { fleet } = ground();
    const steps = Array.from({ length: 500 }, () => aStep());
    const input = { kind: 'inline', base64: 'A'.repeat(520_000) } as const;
    let run = await submitRun(fleet, aJob({ steps, retries: 100 }), { input });
    const lines = Array.from({ length: 20 }, () => '\u0001'.repeat(1_000));
    const times = { startedAt: new Date(AT).toISOString(), endedAt: new Date(AT).toISOString() };
    const status = { state: 'failed', exitCode: 255, inputBytes: 2 ** 40, outputBytes: 2 ** 40 } as const;
    for (let i = 0; i <= 100; i++) {
      run = claimed(run, { host: 'h'.repeat(253), hostId: 'i'.repeat(36), at: AT });
      run = withSteps(
        run,
        steps.map(() => ({ ...status, ...times, container: 'c'.repeat(64) })),
      );
      run = ended(run, anEnd({ lines, why: 'w'.repeat(500) }), AT).run;
    }
    assert.equal(run.state, 'failed');
    const bytes = Buffer.byteLength(JSON.stringify(run));
    assert.ok(bytes < 1.5 * 1024 ** 2, `${bytes} bytes`);
  });

  test('an answer that is lost makes no second run', async () => {
    const { fleet, store, cluster } = ground();
    const run = await submitRun(fleetOn(meddled(store, [{ answer: 'lost' }])), aJob(), NO_INPUT);
    assert.deepEqual(keysIn(cluster), [AT_KEYS.jobs.run(run.id)]);
    const other = await submitRun(fleetOn(meddled(store, [{ answer: 'dropped' }])), aJob(), NO_INPUT);
    assert.deepEqual((await listRuns(fleet)).map(({ id }) => id).sort(), [run.id, other.id].sort());
  });

  test('an answer that is lost: a run that is over meanwhile is known again', async () => {
    const { store, cluster } = ground();
    const after = async () => {
      const [run] = cluster.list(AT_KEYS.jobs.runs()).entries.flatMap((entry) => readRun(entry) ?? []);
      assert.ok(run);
      end(cluster, claim(cluster, run));
    };
    const lines = () => fleetOn(meddled(store, [{ answer: 'lost', after }]));
    assert.equal((await submitRun(lines(), aJob(), NO_INPUT)).state, 'complete');
    // Nothing was kept of this one: whether it ran nobody can say, and it is not run again.
    await fails(submitRun(lines(), aJob({ remove: true }), NO_INPUT), 'cluster-unreachable');
    assert.equal(cluster.list(AT_KEYS.jobs.runs()).entries.length, 0);
  });
});

describe('cancelRun', () => {
  test('nobody runs it: over at once', async () => {
    const { fleet, cluster } = ground();
    const { id } = await submitRun(fleet, aJob(), NO_INPUT);
    const run = await cancelRun(fleet, id, 'not today');
    assert.deepEqual([run.state, run.end?.why], ['cancelled', 'cancelled by ann@desk: not today']);
    assert.deepEqual(keysIn(cluster), [AT_KEYS.ended(id)]);
  });

  test('under way: its host is asked; over: as it is', async () => {
    const { fleet, cluster } = ground();
    const running = claim(cluster, await submitRun(fleet, aJob(), NO_INPUT));
    const asked = await cancelRun(fleet, running.id);
    assert.deepEqual([asked.state, asked.cancel?.by], ['running', 'ann@desk']);
    assert.deepEqual(await cancelRun(fleet, running.id), asked);
    const over = end(cluster, asked);
    assert.deepEqual(await cancelRun(fleet, running.id), over);
  });

  test('a host that claims it in between is asked', async () => {
    const { fleet, store, cluster } = ground();
    const run = await submitRun(fleet, aJob(), NO_INPUT);
    const before = async () => void claim(cluster, run);
    const asked = await cancelRun(fleetOn(meddled(store, [{ before }])), run.id);
    assert.deepEqual([asked.state, asked.attempt, asked.cancel?.by], ['running', 1, 'ann@desk']);
  });

  test('an answer that is lost: it is looked at again', async () => {
    const { fleet, store } = ground();
    for (const remove of [false, true]) {
      const { id } = await submitRun(fleet, aJob({ remove }), NO_INPUT);
      const run = await cancelRun(fleetOn(meddled(store, [{ answer: 'lost' }])), id);
      assert.deepEqual([run.id, run.state], [id, 'cancelled']);
    }
  });
});

describe('findRun', () => {
  test('by its id or how only that begins, under way or over', async () => {
    const { fleet, cluster } = ground();
    const one = await submitRun(fleet, aJob(), { ...NO_INPUT, id: 'backup.1' });
    const two = end(cluster, await submitRun(fleet, aJob(), { ...NO_INPUT, id: 'backup.12' }));
    assert.deepEqual(await findRun(fleet, 'backup.1'), one);
    assert.deepEqual(await findRun(fleet, 'backup.12'), two);
    await assert.rejects(findRun(fleet, 'back'), /Several runs begin with back: backup\.12, backup\.1$/);
    await fails(findRun(fleet, ''), 'usage');
    await removeRun(fleet, 'backup.12');
    assert.deepEqual(await findRun(fleet, 'b'), one);
  });

  test('what is mistyped is guessed', async () => {
    const { fleet } = ground();
    await submitRun(fleet, aJob(), { ...NO_INPUT, id: 'backup.1' });
    await assert.rejects(findRun(fleet, 'bakcup.1'), /shop has no run bakcup\.1; did you mean "backup\.1"\?/);
    await fails(findRun(fleet, 'other'), 'run-unknown');
  });
});

describe('listRuns, removeRun, pruneRuns', () => {
  test('the newest first, those that are over too unless only active ones are asked for', async () => {
    const { fleet, cluster, clock } = ground();
    const ids = ['z', 'a', 'm'];
    for (const id of ids) {
      clock.at += 1000;
      await submitRun(fleet, aJob(), { ...NO_INPUT, id });
    }
    end(cluster, await findRun(fleet, 'a'));
    putIn(cluster, AT_KEYS.jobs.run('damaged'), { format: 1 });
    assert.deepEqual(
      (await listRuns(fleet)).map(({ id }) => id),
      ['m', 'a', 'z'],
    );
    assert.deepEqual(
      (await listRuns(fleet, { active: true })).map(({ id }) => id),
      ['m', 'z'],
    );
  });

  test('only what is over is removed', async () => {
    const { fleet, cluster } = ground();
    const run = await submitRun(fleet, aJob(), NO_INPUT);
    await fails(removeRun(fleet, run.id), 'run-active');
    end(cluster, run);
    await removeRun(fleet, run.id);
    await fails(removeRun(fleet, run.id), 'run-unknown');
  });

  test('prune removes all that are over, however many, and nothing else', async () => {
    const { fleet, cluster } = ground();
    const run = await submitRun(fleet, aJob(), NO_INPUT);
    for (let i = 0; i < 250; i++) putIn(cluster, AT_KEYS.ended(`r${i}`), run);
    assert.equal((await pruneRuns(fleet)).length, 250);
    assert.deepEqual(keysIn(cluster), [AT_KEYS.jobs.run(run.id)]);
    assert.deepEqual(await pruneRuns(fleet), []);
  });
});

test('listExecutors: the hosts that run jobs', async () => {
  const { fleet, cluster } = ground();
  const one = { format: 1, host: 'h1', hostId: 'i', address: '10.0.0.1', port: 0, token: '', labels: {} };
  putIn(cluster, AT_KEYS.jobs.executor('h1'), { ...one, slots: 2, since: new Date(0).toISOString() });
  putIn(cluster, AT_KEYS.jobs.executor('h2'), one);
  assert.deepEqual(
    (await listExecutors(fleet)).map(({ host }) => host),
    ['h1'],
  );
});
