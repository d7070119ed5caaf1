/**
 * What people ask about schedules: to push, delete, suspend, resume and run them by hand, as transactions. Whatever
 * makes a run of a schedule, or says from when its ticks count, compares and writes its cursor: none of them comes
 * between another one's look and its write.
 */
import { randomUUID } from 'node:crypto';
import {
  type CursorValue,
  type RunValue,
  readCursor,
  readRun,
  readSchedule,
  type ScheduleValue,
} from '../../cluster/job-values.ts';
import type { Condition, Entry, Write } from '../../cluster/store.ts';
import type { Overlap, Schedule } from '../../config/job.ts';
import { didYouMean } from '../../config/suggest.ts';
import { GantryError } from '../../errors.ts';
import type { JobFleet } from '../job-fleet.ts';
import { cancelWanted, endWrites, isOver, newRun } from '../runs.ts';
import { MOST_WAITING } from '../ticks.ts';
import { audited, imagesOf } from './audited.ts';
import { handId, scheduleInIds } from './run-id.ts';
import { creation, isSame, keysOf, newestFirst, refuseTooLarge, runAt } from './run-records.ts';
import { carryOut, deleteAll, type Step } from './transact.ts';

/** Of what a replaced run's end takes, that many fit one transaction. */
const MOST_REPLACED = 30;
/** Runs that an error names. */
const MAX_NAMED = 3;

export interface Pushed {
  readonly created: boolean;
  /** It was suspended before, and is so still. */
  readonly staysSuspended: boolean;
}

/**
 * Creates it, or replaces the one of that name. Ticks count from now on where it did not fire as it is now. One that
 * somebody suspended stays so, whatever the new one says: only a resume takes that back.
 */
export function pushSchedule(fleet: JobFleet, given: Schedule): Promise<Pushed> {
  const at = iso(fleet);
  refuseTooLarge(`the schedule ${given.name}`, given, given.job);
  const detail = `${given.cron}, ${imagesOf(given.job)}`;
  const noted = audited(fleet, askedOf(fleet, 'cron push', given.name, detail));
  return carryOut(fleet, async (lost) => {
    const look = await lookAt(fleet, given.name);
    const staysSuspended = look.schedule.value?.schedule.suspended === true;
    const schedule = staysSuspended ? { ...given, suspended: true } : given;
    const value: ScheduleValue = { format: 1, schedule, by: fleet.by, at };
    if (lost !== undefined && look.schedule.entry?.value === JSON.stringify(value)) return done(lost);
    const restarts = look.cursor.value === undefined || !firesAlike(look.schedule.value, schedule);
    return {
      result: { created: look.schedule.entry === undefined, staysSuspended },
      conditions: unchanged(look),
      writes: [
        put(look.schedule.key, value),
        ...(restarts ? [put(look.cursor.key, { format: 1, instant: iso(fleet) } satisfies CursorValue)] : []),
        ...noted,
      ],
    };
  });
}

export interface Deleted {
  /** Runs of it that are not over: they go on. */
  readonly underWay: readonly RunValue[];
}

/** It, and the records of its runs that are over. schedule-unknown. */
export async function deleteSchedule(fleet: JobFleet, name: string): Promise<Deleted> {
  const noted = audited(fleet, askedOf(fleet, 'cron delete', name));
  await carryOut(fleet, async (lost): Promise<Step<true>> => {
    const look = await lookAt(fleet, name);
    if (look.schedule.entry === undefined && lost) return done(true);
    if (look.schedule.entry === undefined) throw await unknown(fleet, name);
    const writes = [look.schedule.key, look.cursor.key].map((key) => ({ kind: 'delete', key }) as const);
    return { result: true, conditions: unchanged(look), writes: [...writes, ...noted] };
  });
  const ended = await endedRuns(fleet, name);
  await deleteAll(
    fleet,
    ended.map(({ key }) => key),
  );
  const active = await activeRuns(fleet, name);
  return { underWay: active.map(({ run }) => run) };
}

/** Suspended it does not fire; resumed it fires from now on, whatever was wrong with it. schedule-unknown. */
export function suspendSchedule(
  fleet: JobFleet,
  name: string,
  suspended: boolean,
): Promise<{ changed: boolean }> {
  const noted = audited(fleet, askedOf(fleet, suspended ? 'cron suspend' : 'cron resume', name));
  return carryOut(fleet, async (lost) => {
    const look = await lookAt(fleet, name);
    const { value } = look.schedule;
    if (value === undefined) throw await unknown(fleet, name);
    const isSo = value.schedule.suspended === suspended && (suspended || value.trouble === undefined);
    if (isSo) return done(lost ?? { changed: false });
    const set = { ...value, schedule: { ...value.schedule, suspended }, by: fleet.by, at: iso(fleet) };
    const writes = [put(look.schedule.key, suspended ? set : unchecked(set))];
    if (!suspended)
      writes.push(put(look.cursor.key, { format: 1, instant: iso(fleet) } satisfies CursorValue));
    return { result: { changed: true }, conditions: unchanged(look), writes: [...writes, ...noted] };
  });
}

/** Makes a run of it now, suspended or not, as its `overlap` allows. schedule-unknown, schedule-busy. */
export function runSchedule(fleet: JobFleet, name: string): Promise<RunValue> {
  const at = fleet.now();
  let id = handId(name, at);
  return carryOut(fleet, async (lost): Promise<Step<RunValue>> => {
    const found = (await runAt(fleet, id))?.run;
    if (found !== undefined && lost !== undefined && isSame(found, lost)) return done(found);
    if (found !== undefined) id = handId(name, at);
    const look = await lookAt(fleet, name);
    if (look.schedule.value === undefined) throw await unknown(fleet, name);
    const { schedule } = look.schedule.value;
    return runStep(fleet, { look, schedule, id, at, active: await activeRuns(fleet, name) });
  });
}

/** schedule-unknown. */
export async function getSchedule(fleet: JobFleet, name: string): Promise<ScheduleValue> {
  const value = readSchedule(await fleet.store.get(keysOf(fleet).jobs.schedule(name)));
  if (value === undefined) throw await unknown(fleet, name);
  return value;
}

/** By name. */
export async function listSchedules(fleet: JobFleet): Promise<ScheduleValue[]> {
  const { entries } = await fleet.store.list(keysOf(fleet).jobs.schedules());
  return entries.flatMap((entry) => readSchedule(entry) ?? []);
}

/** Its runs, those under way too, the newest first. schedule-unknown. */
export async function scheduleHistory(fleet: JobFleet, name: string): Promise<RunValue[]> {
  const active = await activeRuns(fleet, name);
  const runs = newestFirst([...active.map(({ entry }) => entry), ...(await endedRuns(fleet, name))]);
  if (runs.length === 0) await getSchedule(fleet, name);
  return runs;
}

export interface ActiveRun {
  readonly run: RunValue;
  readonly entry: Entry;
}

export interface Admitted {
  /** What it waits for. */
  readonly after: readonly string[];
  /** What makes room for it. */
  readonly replaced: readonly ActiveRun[];
}

/** What becomes of another run of a schedule while these are not over; undefined: there must be none. Pure. */
export function admitted(overlap: Overlap, active: readonly ActiveRun[]): Admitted | undefined {
  const after = active.map(({ run }) => run.id);
  if (active.length === 0 || overlap === 'allow') return { after: [], replaced: [] };
  if (active.length >= MOST_WAITING) return undefined;
  if (overlap === 'queue') return { after, replaced: [] };
  return overlap === 'replace' ? { after, replaced: active.slice(0, MOST_REPLACED) } : undefined;
}

/** How a run is asked to make room, with what must not have changed. Pure. */
export function replacing(
  fleet: JobFleet,
  replaced: readonly ActiveRun[],
  why: string,
): { readonly conditions: readonly Condition[]; readonly writes: readonly Write[] } {
  const asked = replaced.map(({ run, entry }) => {
    const wanted = cancelWanted(run, fleet.by, fleet.now(), why);
    if (wanted === run) return [];
    return isOver(wanted) ? endWrites(keysOf(fleet), wanted) : [put(entry.key, wanted)];
  });
  const conditions = replaced.map(({ entry }) => ({ key: entry.key, modRevision: entry.modRevision }));
  return { conditions, writes: asked.flat() };
}

interface RunAsked {
  readonly look: Look;
  readonly schedule: Schedule;
  readonly id: string;
  readonly at: number;
  readonly active: readonly ActiveRun[];
}

function runStep(fleet: JobFleet, { look, schedule, id, at, active }: RunAsked): Step<RunValue> {
  const { name, job } = schedule;
  const room = admitted(schedule.overlap, active);
  if (room === undefined) throw busy(schedule, active);
  const { by } = fleet;
  const run = newRun({ id, job, input: { kind: 'none' }, by, at, schedule: { name }, after: room.after });
  const made = creation(keysOf(fleet), run);
  const makesRoom = replacing(fleet, room.replaced, `${run.id} replaces it`);
  const cursor = look.cursor.value ?? { format: 1, instant: iso(fleet) };
  const asked = { ...askedOf(fleet, 'cron run', name, run.id), id: run.id, at };
  return {
    result: run,
    conditions: [...unchanged(look), ...made.conditions, ...makesRoom.conditions],
    writes: [...made.writes, ...makesRoom.writes, put(look.cursor.key, cursor), ...audited(fleet, asked)],
  };
}

function askedOf(fleet: JobFleet, action: string, name: string, detail = '') {
  return { action, on: [name], detail, id: randomUUID(), at: fleet.now() };
}

interface Found<T> {
  readonly key: string;
  readonly entry: Entry | undefined;
  readonly value: T | undefined;
}

interface Look {
  readonly schedule: Found<ScheduleValue>;
  readonly cursor: Found<CursorValue>;
}

async function lookAt(fleet: JobFleet, name: string): Promise<Look> {
  const { jobs } = keysOf(fleet);
  const [schedule, cursor] = await Promise.all([
    fleet.store.get(jobs.schedule(name)),
    fleet.store.get(jobs.cursor(name)),
  ]);
  return {
    schedule: { key: jobs.schedule(name), entry: schedule, value: readSchedule(schedule) },
    cursor: { key: jobs.cursor(name), entry: cursor, value: readCursor(cursor) },
  };
}

function unchanged(look: Look): readonly Condition[] {
  return [look.schedule, look.cursor].map(({ key, entry }) => ({
    key,
    modRevision: entry?.modRevision ?? 0,
  }));
}

/** As if nobody had looked yet whether it can run. */
function unchecked({ trouble: _trouble, checked: _checked, ...value }: ScheduleValue): ScheduleValue {
  return value;
}

/** Whether ticks that were not dealt with yet count for the new one too. */
function firesAlike(before: ScheduleValue | undefined, next: Schedule): boolean {
  if (before === undefined || before.schedule.suspended || before.trouble !== undefined) return false;
  return before.schedule.cron === next.cron && before.schedule.timeZone === next.timeZone;
}

async function activeRuns(fleet: JobFleet, schedule: string): Promise<ActiveRun[]> {
  const { entries } = await fleet.store.list(keysOf(fleet).jobs.runs());
  return entries.flatMap((entry) => {
    const run = readRun(entry);
    return run?.schedule?.name === schedule ? [{ run, entry }] : [];
  });
}

/** A job may have the name of a schedule, so what begins like its runs need not be one. */
async function endedRuns(fleet: JobFleet, schedule: string): Promise<Entry[]> {
  const { entries } = await fleet.store.list(keysOf(fleet).endedOf(scheduleInIds(schedule)));
  return entries.filter((entry) => readRun(entry)?.schedule?.name === schedule);
}

function busy({ name, overlap }: Schedule, active: readonly ActiveRun[]): GantryError {
  const ids = active.slice(0, MAX_NAMED).map(({ run }) => run.id);
  const more = active.length > ids.length ? ` and ${active.length - ids.length} more` : '';
  const message = `${name} lets no more runs in (overlap: ${overlap}) before these are over: ${ids.join(', ')}${more}`;
  return new GantryError('schedule-busy', message, {
    hint: `Wait for it, or cancel it: job cancel ${ids[0]}`,
    retryable: true,
  });
}

async function unknown(fleet: JobFleet, name: string): Promise<GantryError> {
  const names = (await listSchedules(fleet)).map(({ schedule }) => schedule.name);
  return new GantryError(
    'schedule-unknown',
    `${fleet.project} has no schedule ${name}${didYouMean(name, names)}`,
    {
      hint: 'See what there is with: cron list',
    },
  );
}

function done<T>(result: T): Step<T> {
  return { result, conditions: [], writes: [] };
}

function put(key: string, value: ScheduleValue | CursorValue | RunValue): Write {
  return { kind: 'put', key, value: JSON.stringify(value) };
}

function iso(fleet: JobFleet): string {
  return new Date(fleet.now()).toISOString();
}
