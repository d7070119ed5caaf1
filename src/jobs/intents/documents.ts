/** Runs and schedules as documents for programs: what the command line prints with --json, and the API answers. Pure. */
import type { RunValue, ScheduleValue } from '../../cluster/job-values.ts';
import { cronTimes } from '../../config/cron.ts';
import type { Job, Step } from '../../config/job.ts';

/** For programs: as it is stored, but for what is sealed or long. */
export function runDocument({ job, input, format: _, ...run }: RunValue) {
  const hasInput = job.input !== undefined || input.kind !== 'none';
  return { kind: 'run', ...run, hasInput, job: jobDocument(job) };
}

function jobDocument({ input: _, steps, ...job }: Job) {
  return { ...job, steps: steps.map(stepDocument) };
}

function stepDocument({ secrets, registryAuth, ...step }: Step) {
  return { ...step, secrets: secrets.map(({ name }) => name), hasRegistryAuth: registryAuth !== undefined };
}

/** The next ticks, as ISO times; [] where it does not fire. */
export function nextTicks({ schedule, trouble }: ScheduleValue, now: number, most: number): string[] {
  if (schedule.suspended || trouble !== undefined) return [];
  const { next } = cronTimes(schedule.cron, schedule.timeZone);
  const ticks: string[] = [];
  for (let tick = next(now); tick !== undefined && ticks.length < most; tick = next(tick))
    ticks.push(new Date(tick).toISOString());
  return ticks;
}

/** For programs: as it is stored, with the ticks that come next. */
export function scheduleDocument({ schedule, format: _, ...value }: ScheduleValue, next: readonly string[]) {
  const { job, ...rest } = schedule;
  return { kind: 'schedule', ...rest, ...value, next, job: jobDocument(job) };
}
