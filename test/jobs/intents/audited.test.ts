import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  cancelRun,
  deleteSchedule,
  pruneRuns,
  pushSchedule,
  removeRun,
  runSchedule,
  submitRun,
  suspendSchedule,
} from '../../../src/jobs/intents/intents.ts';
import { meddled } from '../../fleet/intents/intents-ground.ts';
import { aJob, aSchedule, aStep } from '../job-values.ts';
import { auditIn, end, fleetOn, type Ground, ground, NO_INPUT } from './intents-ground.ts';

const SECRET = { name: 'TOKEN', value: 'hush' };
const telling = () =>
  aJob({ steps: [aStep({ command: ['sh', '-c', 'hush'] }), aStep()], environment: [SECRET] });

function told({ cluster }: Ground): readonly string[] {
  return auditIn(cluster).map(({ by, action, on, detail }) => `${by}: ${action} ${on.join()} (${detail})`);
}

/** Each of them a millisecond after the other, so that their order is theirs. */
function ticking({ fleet, clock }: Ground) {
  return {
    ...fleet,
    now() {
      clock.at += 1;
      return clock.at;
    },
  };
}

describe('The audit of jobs', () => {
  test('has who asked for runs, by which images, and nothing that may be secret', async () => {
    const at = ground();
    const fleet = ticking(at);
    const run = await submitRun(fleet, telling(), { input: { kind: 'inline', base64: 'aHVzaA==' } });
    await cancelRun(fleet, run.id, 'no more');
    await cancelRun(fleet, run.id, 'no more');
    await removeRun(fleet, run.id);
    const two = await submitRun(fleet, aJob(), NO_INPUT);
    end(at.cluster, two);
    await pruneRuns(fleet);
    assert.deepEqual(told(at), [
      `ann@desk: job run ${run.id} (busybox:1 | busybox:1)`,
      `ann@desk: job cancel ${run.id} ()`,
      `ann@desk: job rm ${run.id} ()`,
      `ann@desk: job run ${two.id} (busybox:1)`,
      'ann@desk: job prune  (1 run)',
    ]);
    assert.ok(!JSON.stringify(auditIn(at.cluster)).includes('hush'));
  });

  test('has who asked for schedules; what changes nothing has no entry', async () => {
    const at = ground();
    const fleet = ticking(at);
    await pushSchedule(fleet, aSchedule({ job: telling() }));
    await suspendSchedule(fleet, 'nightly', true);
    await suspendSchedule(fleet, 'nightly', true);
    await suspendSchedule(fleet, 'nightly', false);
    const run = await runSchedule(fleet, 'nightly');
    await deleteSchedule(fleet, 'nightly');
    assert.deepEqual(told(at), [
      'ann@desk: cron push nightly (0 3 * * *, busybox:1 | busybox:1)',
      'ann@desk: cron suspend nightly ()',
      'ann@desk: cron resume nightly ()',
      `ann@desk: cron run nightly (${run.id})`,
      'ann@desk: cron delete nightly ()',
    ]);
  });

  test('an answer that is lost makes no second entry', async () => {
    const at = ground();
    await submitRun(fleetOn(meddled(at.store, [{ answer: 'lost' }])), aJob(), NO_INPUT);
    await submitRun(fleetOn(meddled(at.store, [{ answer: 'dropped' }])), aJob(), NO_INPUT);
    assert.equal(auditIn(at.cluster).length, 2);
  });

  test('there is none on one box', async () => {
    const at = ground();
    const box = { ...at.fleet, isBox: true } as const;
    await submitRun(box, aJob(), NO_INPUT);
    await pushSchedule(box, aSchedule());
    assert.deepEqual(told(at), []);
  });
});
