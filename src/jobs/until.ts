/** Waits for what hosts do about a run or a schedule: followed in the store, and looked at now and then besides. */
import type { RunValue, ScheduleValue } from '../cluster/job-values.ts';
import type { Range } from '../cluster/store.ts';
import { Poke } from '../poke.ts';
import { findRun, listSchedules } from './intents.ts';
import type { JobFleet } from './job-fleet.ts';
import { keysOf } from './run-records.ts';
import { isOver } from './runs.ts';

/** A host looks whether the images of a schedule can be had, and may have to pull them. */
export const CHECK_MS = 60_000;
/** Hints that something changed may be missed. */
const LOOK_AGAIN_MS = 2_000;

/** The run once it is over, or as it is when the time is. run-unknown when nothing of it is kept. */
export function untilOver(
  fleet: JobFleet,
  id: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<RunValue> {
  const key = keysOf(fleet).jobs.run(id);
  const wait = { range: { from: key, to: `${key}\0` }, waitMs, signal };
  return until(fleet, wait, () => findRun(fleet, id), isOver);
}

/** The run once a host has begun it or it is over, or as it is when the time is. run-unknown. */
export function untilBegun(
  fleet: JobFleet,
  id: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<RunValue> {
  const key = keysOf(fleet).jobs.run(id);
  const wait = { range: { from: key, to: `${key}\0` }, waitMs, signal };
  return until(
    fleet,
    wait,
    () => findRun(fleet, id),
    ({ state }) => state !== 'pending',
  );
}

/** The schedules once a host has looked at each, or as they are when the time is over. */
export function untilChecked(
  fleet: JobFleet,
  names: readonly string[],
  waitMs: number,
  signal: AbortSignal,
): Promise<readonly ScheduleValue[]> {
  const wait = { range: keysOf(fleet).jobs.schedules(), waitMs, signal };
  return until(
    fleet,
    wait,
    () => schedulesNamed(fleet, names),
    (found) => found.every(isChecked),
  );
}

export async function schedulesNamed(fleet: JobFleet, names: readonly string[]): Promise<ScheduleValue[]> {
  return (await listSchedules(fleet)).filter(({ schedule }) => names.includes(schedule.name));
}

export function isChecked({ checked, trouble }: ScheduleValue): boolean {
  return checked !== undefined || trouble !== undefined;
}

interface Wait {
  readonly range: Range;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

async function until<T>(
  { store }: JobFleet,
  { range, waitMs, signal }: Wait,
  look: () => Promise<T>,
  isDone: (found: T) => boolean,
): Promise<T> {
  const poke = new Poke();
  const mirror = store.follow({ range, onChange: () => poke.poke() });
  const end = performance.now() + waitMs;
  try {
    for (;;) {
      poke.clear();
      const found = await look();
      const leftMs = end - performance.now();
      if (isDone(found) || leftMs <= 0 || signal.aborted) return found;
      await poke.wait(Math.min(leftMs, LOOK_AGAIN_MS), signal);
    }
  } finally {
    mirror.close();
  }
}
