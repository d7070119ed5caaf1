import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type EndKind, type RunValue, readRun } from '../../src/cluster/job-values.ts';
import { keys } from '../../src/cluster/keys.ts';
import type { Constraint } from '../../src/config/job.ts';
import {
  cancelWanted,
  canRunOn,
  claimed,
  ended,
  endWrites,
  isOver,
  newRun,
  withSteps,
} from '../../src/jobs/runs.ts';
import { AT, aJob, anEnd, aRun, aStep } from './job-values.ts';

const HOST = { host: 'h1', hostId: 'id-1', at: AT + 1000 };
const iso = (at: number) => new Date(at).toISOString();
const running = (retries = 0, attempts = 1): RunValue => {
  let run = aRun({ retries, steps: [aStep(), aStep()] });
  for (let i = 0; i < attempts; i++) run = claimed(run, HOST);
  return run;
};

describe('a run', () => {
  test('begins pending, with every step waiting, and is read back as it was written', () => {
    const job = aJob({ steps: [aStep(), aStep()] });
    const run = newRun({ id: 'a.1', job, input: { kind: 'none' }, by: 'ann@here', at: AT, after: [] });
    assert.deepEqual(run.steps, [{ state: 'waiting' }, { state: 'waiting' }]);
    assert.deepEqual([run.state, run.attempt, run.at, run.after], ['pending', 0, iso(AT), undefined]);
    assert.deepEqual(readRun({ value: JSON.stringify(run) }), run);
  });

  test('claimed: the host has its next attempt, from the first step on', () => {
    const before = aRun({}, { notBefore: AT + 500, attempt: 1, steps: [{ state: 'failed', exitCode: 1 }] });
    const run = claimed(before, HOST);
    assert.deepEqual(
      [run.state, run.attempt, run.host, run.hostId, run.startedAt],
      ['running', 2, 'h1', 'id-1', iso(HOST.at)],
    );
    assert.deepEqual([run.notBefore, run.steps], [undefined, [{ state: 'waiting' }]]);
  });

  test('ended: the state says how', () => {
    const kinds: [EndKind, number, string][] = [
      ['exit', 0, 'complete'],
      ['exit', 3, 'failed'],
      ['timeout', 124, 'failed'],
      ['start', 125, 'failed'],
      ['input', 125, 'failed'],
      ['output', 125, 'failed'],
      ['lost', 125, 'lost'],
      ['cancelled', 130, 'cancelled'],
      ['skipped', 0, 'skipped'],
    ];
    for (const [kind, exitCode, state] of kinds) {
      const { kind: what, run } = ended(running(), anEnd({ kind, exitCode }), AT + 5000);
      assert.deepEqual([what, run.state, run.endedAt, run.end?.kind], ['over', state, iso(AT + 5000), kind]);
      assert.ok(isOver(run));
    }
  });

  test('ended with attempts left: pending again after a pause, without a host, and it tells of the attempt', () => {
    const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`);
    const { kind, run } = ended(running(2), anEnd({ kind: 'lost', lines }), AT + 5000);
    assert.equal(kind, 'again');
    assert.deepEqual([run.state, run.host, run.hostId, run.startedAt, run.end], ['pending', ...Array(4)]);
    assert.equal(run.notBefore, AT + 6000);
    const [past] = run.past;
    assert.deepEqual([past?.host, past?.startedAt, past?.endedAt], ['h1', iso(HOST.at), iso(AT + 5000)]);
    assert.deepEqual(past?.end.lines, lines.slice(-5));
    assert.deepEqual(readRun({ value: JSON.stringify(run) }), run);
  });

  test('ended: so many retries and no more, each after a longer pause, at most a minute', () => {
    const pauses: number[] = [];
    let run = aRun({ retries: 8 });
    let what: 'again' | 'over' = 'again';
    while (what === 'again') {
      ({ kind: what, run } = ended(claimed(run, HOST), anEnd(), AT));
      if (what === 'again') pauses.push((run.notBefore ?? 0) - AT);
    }
    assert.deepEqual(
      pauses,
      [1, 2, 4, 8, 16, 32, 60, 60].map((s) => s * 1000),
    );
    assert.deepEqual([run.state, run.attempt, run.past.length], ['failed', 9, 8]);
  });

  test('ended: it tells of its newest 20 attempts', () => {
    let run = aRun({ retries: 30 });
    for (let i = 0; i < 25; i++) run = ended(claimed(run, HOST), anEnd({ exitCode: i + 1 }), AT).run;
    assert.deepEqual(
      run.past.map(({ end }) => end.exitCode),
      Array.from({ length: 20 }, (_, i) => i + 6),
    );
  });

  test('ended: never again after a success, a cancel, one that was asked for, or before any attempt', () => {
    const asked = cancelWanted(running(5), 'ann@here', AT);
    for (const [run, end] of [
      [running(5), anEnd({ exitCode: 0 })],
      [running(5), anEnd({ kind: 'cancelled' })],
      [running(5), anEnd({ kind: 'skipped' })],
      [asked, anEnd({ kind: 'lost' })],
      [aRun({ retries: 5 }), anEnd({ kind: 'start' })],
    ] as const)
      assert.equal(ended(run, end, AT).kind, 'over', end.kind);
  });

  test('ended: a step whose end nobody saw did not go on', () => {
    const steps = [{ state: 'complete', exitCode: 0 }, { state: 'running' }] as const;
    const { run } = ended(withSteps(running(), steps), anEnd({ kind: 'lost', step: 1 }), AT);
    assert.deepEqual(run.steps, [steps[0], { state: 'failed', endedAt: iso(AT) }]);
  });

  test('cancelWanted: over at once while nobody runs it, asked of its host otherwise, once', () => {
    const pending = cancelWanted(aRun(), 'ann@here', AT, 'enough');
    assert.deepEqual([pending.state, pending.end?.exitCode], ['cancelled', 130]);
    assert.equal(pending.end?.why, 'cancelled by ann@here: enough');
    const asked = cancelWanted(running(), 'ann@here', AT);
    assert.deepEqual([asked.state, asked.cancel], ['running', { by: 'ann@here', at: iso(AT) }]);
    assert.equal(cancelWanted(asked, 'bob@here', AT + 1), asked);
    assert.equal(cancelWanted(pending, 'bob@here', AT + 1), pending);
  });

  test('endWrites: its key and its claim go, and it is kept unless nothing of it is', () => {
    const at = keys().project('shop');
    const { run } = ended(running(), anEnd(), AT);
    const gone = [at.jobs.run(run.id), at.jobs.claim(run.id)].map((key) => ({ kind: 'delete', key }));
    const kept = { kind: 'put', key: at.ended(run.id), value: JSON.stringify(run) };
    assert.deepEqual(endWrites(at, run), [...gone, kept]);
    assert.deepEqual(endWrites(at, run, { forget: true }), gone);
    assert.deepEqual(endWrites(at, { ...run, job: aJob({ remove: true }) }), gone);
  });
});

describe('canRunOn', () => {
  const executor = { host: 'h1', labels: { zone: 'eu' } };
  const on = (...constraints: Constraint[]) => canRunOn({ job: aJob({ constraints }) }, executor);
  const host = (value: string, equals = true): Constraint => ({ on: 'host', key: '', equals, value });
  const label = (key: string, value: string, equals = true): Constraint => ({
    on: 'label',
    key,
    equals,
    value,
  });

  test('all constraints must hold, and the first that does not is named', () => {
    assert.equal(on(), undefined);
    assert.equal(on(host('h1'), label('zone', 'eu'), label('zone', 'us', false)), undefined);
    assert.equal(on(host('h1'), host('h2')), 'host==h2 does not hold for h1');
    assert.equal(on(label('zone', 'eu', false)), 'label.zone!=eu does not hold for h1');
  });

  test('a label that is missing equals nothing, whatever its name', () => {
    assert.equal(on(label('disk', 'ssd')), 'label.disk==ssd does not hold for h1');
    assert.equal(on(label('disk', 'ssd', false), label('toString', 'x', false)), undefined);
  });
});
