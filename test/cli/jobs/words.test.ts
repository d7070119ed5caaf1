/** What a person reads of runs and schedules. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { renderSchedule, renderSchedules } from '../../../src/cli/jobs/cron-words.ts';
import { refuseElsewhere } from '../../../src/cli/jobs/waiting.ts';
import { exitCodeOf, renderRun, renderRuns, toldAtTheEnd } from '../../../src/cli/jobs/words.ts';
import type { ExecutorValue, RunValue, ScheduleValue } from '../../../src/cluster/job-values.ts';
import { nextTicks, runDocument } from '../../../src/jobs/intents/documents.ts';
import { noHost, whyPending } from '../../../src/jobs/intents/waiting.ts';
import { claimed, ended } from '../../../src/jobs/runs.ts';
import { AT, aJob, anEnd, aRun, aSchedule, aStep } from '../../jobs/job-values.ts';

const NOW = AT + 65_000;

function running(run: RunValue = aRun()): RunValue {
  return claimed(run, { host: 'h1', hostId: 'id-1', at: AT });
}

function over(end: Parameters<typeof anEnd>[0], run: RunValue = aRun()): RunValue {
  return ended(running(run), anEnd(end), AT + 2_300).run;
}

function executor(host: string, labels: Readonly<Record<string, string>> = {}): ExecutorValue {
  const reach = { address: '10.0.0.1', port: 1, token: 't' };
  return { format: 1, host, hostId: host, ...reach, labels, slots: 4, since: new Date(AT).toISOString() };
}

describe('runs', () => {
  test('are listed with where they are', () => {
    const done = over({ exitCode: 0, why: '' });
    const cancelling = running(aRun({}, { id: 'backup.2', cancel: { by: 'ann', at: '' } }));
    assert.equal(
      renderRuns([aRun({}, { id: 'backup.3' }), cancelling, done], NOW, true),
      [
        'RUN       STATE       HOST  STEP  STARTED               TOOK   EXIT',
        'backup.3  pending     -     1/1   -                     -      -',
        'backup.2  cancelling  h1    1/1   2026-11-21T14:30:22Z  65 s   -',
        'backup.1  complete    h1    1/1   2026-11-21T14:30:22Z  2.3 s  0',
      ].join('\n'),
    );
  });

  test('that are not there are said to be none', () => {
    assert.equal(renderRuns([], NOW, false), 'No run is under way; --all shows those that are over');
    assert.equal(renderRuns([], NOW, true), 'There are no runs');
  });

  test('are shown with their steps, why they failed and what they said last', () => {
    const job = { steps: [aStep({ name: 'dump' }), aStep({ name: 'pack', image: 'tar:2' })] };
    const failed: RunValue = {
      ...over(
        { exitCode: 3, step: 1, why: 'step 2 (pack) ended with exit code 3', lines: ['no \u001b[2Jspace'] },
        aRun(job),
      ),
      steps: [
        { state: 'complete', exitCode: 0, startedAt: at(0), endedAt: at(1_000), outputBytes: 1_500_000 },
        { state: 'failed', exitCode: 3, startedAt: at(1_000), endedAt: at(2_300), inputBytes: 1_500_000 },
      ],
    };
    assert.equal(
      renderRun(failed, NOW),
      [
        'Run:       backup.1',
        'Job:       backup',
        'State:     failed',
        'Host:      h1',
        'Made:      2026-11-21T14:30:22Z by ann@here',
        'Started:   2026-11-21T14:30:22Z',
        'Ended:     2026-11-21T14:30:24Z, after 2.3 s',
        'Why:       Step 2 (pack) ended with exit code 3.',
        '',
        'STEP  NAME  IMAGE      STATE     EXIT  STARTED               TOOK   IN      OUT',
        '1     dump  busybox:1  complete  0     2026-11-21T14:30:22Z  1.0 s  -       1.5 MB',
        '2     pack  tar:2      failed    3     2026-11-21T14:30:23Z  1.3 s  1.5 MB  -',
        '',
        'The last lines it printed:',
        '  no space',
      ].join('\n'),
    );
  });

  test('as documents hold nothing that is sealed, and no input', () => {
    const secret = { name: 'db', sealed: 'SEALED' };
    const step = aStep({ secrets: [secret], registryAuth: { sealed: 'SEALED' } });
    const run = aRun({ steps: [step], input: 'SEALED' }, { input: { kind: 'inline', base64: 'SEALED' } });
    const text = JSON.stringify(runDocument(run));
    assert.doesNotMatch(text, /SEALED/);
    assert.match(text, /"hasInput":true.*"secrets":\["db"\].*"hasRegistryAuth":true/);
  });
});

const ENDS: readonly (readonly [Parameters<typeof anEnd>[0], number, RegExp | undefined])[] = [
  [{ exitCode: 0, why: '' }, 0, undefined],
  [{ exitCode: 7 }, 7, undefined],
  [
    { exitCode: 137, oomKilled: true, why: 'step 1 was killed' },
    137,
    /Step 1 was killed. It ran out of memory\.$/,
  ],
  [{ kind: 'timeout', exitCode: 124, why: 'it took too long' }, 124, /^Error: backup.1: It took too long\.$/],
  [
    { kind: 'start', exitCode: 125, why: 'no such image', hint: 'Pull it.' },
    125,
    /No such image\.\nPull it\.$/,
  ],
  [{ kind: 'cancelled', exitCode: 130, why: 'cancelled by ann' }, 130, /Cancelled by ann/],
  [{ kind: 'lost', exitCode: 1, why: 'h1 went away' }, 1, /H1 went away/],
  [{ kind: 'output', exitCode: 0, why: 'there is no /out' }, 1, /There is no \/out/],
  [{ exitCode: 70_000 }, 255, undefined],
];

describe('a command that waited for a run', () => {
  for (const [end, code, words] of ENDS) {
    test(`ends with ${code} after ${JSON.stringify(end)}`, () => {
      const run = over(end);
      assert.equal(exitCodeOf(run), code);
      const told = toldAtTheEnd(run);
      if (words === undefined) assert.equal(told, undefined);
      else assert.match(told ?? '', words);
    });
  }

  test('says which step of several it was', () => {
    const run = over({ exitCode: 2, why: 'step 1 ended with 2' }, aRun({ steps: [aStep(), aStep()] }));
    assert.equal(toldAtTheEnd(run), 'Error: backup.1: Step 1 ended with 2.');
  });
});

describe('a run waits', () => {
  const onH3 = { on: 'host', key: '', equals: true, value: 'h3' } as const;
  const slow = { on: 'label', key: 'disk', equals: false, value: 'slow' } as const;
  test('because nobody runs jobs', () => {
    assert.equal(whyPending(aRun(), [], NOW), 'no live host runs jobs');
  });
  test('because of a constraint, told for each host', () => {
    const run = aRun({ constraints: [slow, onH3] });
    const hosts = [executor('h1'), executor('h2', { disk: 'slow' })];
    assert.equal(
      noHost(run, hosts),
      'no live host may run it: host==h3 does not hold for h1; label.disk!=slow does not hold for h2',
    );
  });
  test('for ever on one box that it may not run on, and is refused there', () => {
    assert.throws(() => refuseElsewhere(aRun({ constraints: [onH3] }).job), /host==h3 does not hold for/);
    refuseElsewhere(aRun({ constraints: [slow] }).job);
  });
  test('because those that may are busy', () => {
    const run = aRun({ constraints: [slow] });
    const hosts = [executor('h1'), executor('h2', { disk: 'slow' })];
    assert.equal(whyPending(run, hosts, NOW), 'all hosts that may run it are busy: h1');
  });
  test('for its next attempt, because of the last one', () => {
    const again = ended(running(aRun({ retries: 1 })), anEnd(), NOW).run;
    assert.match(whyPending(again, [executor('h1')], NOW), /^it is tried again in 1 s, step 1 ended with/);
  });
  test('for other runs of its schedule', () => {
    const run = aRun({}, { after: ['nightly.1', 'nightly.2'] });
    assert.equal(
      whyPending(run, [executor('h1')], NOW),
      'runs of its schedule come first: nightly.1, nightly.2',
    );
  });
});

describe('schedules', () => {
  const pushed = (over: Partial<ScheduleValue> = {}, schedule = aSchedule()): ScheduleValue => ({
    ...{ format: 1, schedule, by: 'ann@desk', at: new Date(AT).toISOString() },
    ...over,
  });
  const berlin = aSchedule({ name: 'berlin', timeZone: 'Europe/Berlin' });

  test('are listed with their next tick, by the clock of their zone', () => {
    const rows = [
      { value: pushed(), last: over({ exitCode: 0, why: '' }) },
      { value: pushed({}, berlin), last: undefined },
      { value: pushed({ trouble: 'no image' }, aSchedule({ name: 'bad' })), last: undefined },
      { value: pushed({}, aSchedule({ name: 'off', suspended: true })), last: undefined },
    ];
    assert.equal(
      renderSchedules(rows, NOW),
      [
        'NAME     CRON       ZONE           NEXT                 LAST                          STATE',
        'nightly  0 3 * * *  UTC            2026-11-22 03:00:00  2026-11-21 14:30:22 complete  active',
        'berlin   0 3 * * *  Europe/Berlin  2026-11-22 03:00:00  -                             active',
        'bad      0 3 * * *  UTC            -                    -                             trouble: no image',
        'off      0 3 * * *  UTC            -                    -                             suspended',
      ].join('\n'),
    );
  });

  test('tell their ticks as instants', () => {
    assert.deepEqual(nextTicks(pushed({}, berlin), NOW, 2), [
      '2026-11-22T02:00:00.000Z',
      '2026-11-23T02:00:00.000Z',
    ]);
  });

  test('are shown with their trouble', () => {
    const job = aJob({ steps: [aStep({ image: 'a:1' }), aStep({ image: 'b:2' })] });
    const value = pushed({ trouble: 'the image a:1 cannot be had' }, aSchedule({ job }));
    assert.equal(
      renderSchedule(value, [], [], NOW),
      [
        'Schedule:  nightly',
        'Cron:      0 3 * * * (UTC)',
        'State:     does not fire',
        'Trouble:   The image a:1 cannot be had.',
        'Job:       a:1 | b:2',
        'Overlap:   forbid',
        'Missed:    runOnce',
        'Pushed:    2026-11-21T14:30:22Z by ann@desk',
        '',
        'It has not run yet',
      ].join('\n'),
    );
  });
});

function at(ms: number): string {
  return new Date(AT + ms).toISOString();
}
