/** Waits for what hosts do about a run or a schedule. */
import type { RunValue, ScheduleValue } from '../../cluster/job-values.ts';
import { untilWritten } from '../../cluster/until.ts';
import type { JobFleet } from '../job-fleet.ts';
import { isOver } from '../runs.ts';
import { findRun, listSchedules } from './intents.ts';
import { keysOf } from './run-records.ts';

/** A host looks whether the images of a schedule can be had, and may have to pull them. */
export const CHECK_MS = 60_000;

/** The run once it is over, or as it is when the time is. run-unknown when nothing of it is kept. */
export function untilOver(
  fleet: JobFleet,
  id: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<RunValue> {
  return untilRun(fleet, id, waitMs, signal, isOver);
}

/** The run once a host has begun it or it is over, or as it is when the time is. run-unknown. */
export function untilBegun(
  fleet: JobFleet,
  id: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<RunValue> {
  return untilRun(fleet, id, waitMs, signal, ({ state }) => state !== 'pending');
}

/** The schedules once a host has looked at each, or as they are when the time is over. */
export function untilChecked(
  fleet: JobFleet,
  names: readonly string[],
  waitMs: number,
  signal: AbortSignal,
): Promise<readonly ScheduleValue[]> {
  return untilWritten(fleet.store, {
    ...{ range: keysOf(fleet).jobs.schedules(), waitMs, signal },
    look: () => schedulesNamed(fleet, names),
    isDone: (found) => found.every(isChecked),
  });
}

export async function schedulesNamed(fleet: JobFleet, names: readonly string[]): Promise<ScheduleValue[]> {
  return (await listSchedules(fleet)).filter(({ schedule }) => names.includes(schedule.name));
}

export function isChecked({ checked, trouble }: ScheduleValue): boolean {
  return checked !== undefined || trouble !== undefined;
}

function untilRun(
  fleet: JobFleet,
  id: string,
  waitMs: number,
  signal: AbortSignal,
  isDone: (run: RunValue) => boolean,
): Promise<RunValue> {
  const key = keysOf(fleet).jobs.run(id);
  const range = { from: key, to: `${key}\0` };
  return untilWritten(fleet.store, { range, waitMs, signal, look: () => findRun(fleet, id), isDone });
}
