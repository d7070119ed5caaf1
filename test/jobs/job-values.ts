/** Jobs and runs to test with: what is not said is as a plain job has it. */
import type { RunEnd, RunValue } from '../../src/cluster/job-values.ts';
import type { Job, Schedule, Step } from '../../src/config/job.ts';
import { newRun } from '../../src/jobs/runs.ts';
import { stepOf } from '../docker/steps.ts';

export const AT = Date.parse('2026-11-21T14:30:22.000Z');

export function aStep(over: Partial<Step> = {}): Step {
  return stepOf({ image: 'busybox:1', ...over });
}

export function aJob(over: Partial<Job> = {}): Job {
  return {
    name: 'backup',
    steps: [aStep()],
    environment: [],
    constraints: [],
    retries: 0,
    keepMs: 3_600_000,
    remove: false,
    ...over,
  };
}

export function aSchedule(over: Partial<Schedule> = {}): Schedule {
  return {
    name: 'nightly',
    cron: '0 3 * * *',
    timeZone: 'UTC',
    overlap: 'forbid',
    missed: 'runOnce',
    suspended: false,
    job: aJob(),
    ...over,
  };
}

export function aRun(job: Partial<Job> = {}, over: Partial<RunValue> = {}): RunValue {
  const made = { id: 'backup.1', job: aJob(job), input: { kind: 'none' }, by: 'ann@here', at: AT } as const;
  return { ...newRun(made), ...over };
}

export function anEnd(over: Partial<RunEnd> = {}): RunEnd {
  return { kind: 'exit', exitCode: 1, step: 0, why: 'step 1 ended with exit code 1', lines: [], ...over };
}
