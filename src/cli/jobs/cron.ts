/** `cron push|list|get|delete|run|suspend|resume|history`: schedules, which make runs of their jobs. */
import { access } from 'node:fs/promises';
import type { RunValue, ScheduleValue } from '../../cluster/job-values.ts';
import type { Schedule } from '../../config/job.ts';
import { GantryError } from '../../errors.ts';
import { nextTicks, runDocument, scheduleDocument } from '../../jobs/intents/documents.ts';
import {
  deleteSchedule,
  getSchedule,
  listExecutors,
  listRuns,
  listSchedules,
  pushSchedule,
  runSchedule,
  scheduleHistory,
  suspendSchedule,
} from '../../jobs/intents/intents.ts';
import { CHECK_MS, isChecked, schedulesNamed, untilChecked } from '../../jobs/intents/until.ts';
import { interruptible } from '../interrupt.ts';
import { type Output, outputOf } from '../output.ts';
import { ensureExecuted } from './attended.ts';
import { renderSchedule, renderScheduleRuns, renderSchedules } from './cron-words.ts';
import type { JobArguments, PushArguments, RunScheduleArguments, ScheduleArguments } from './options.ts';
import { type Place, withPlace } from './place.ts';
import { watched } from './run.ts';
import { openSink } from './sink.ts';
import { schedulesOfFile } from './source.ts';
import { refuseElsewhere } from './waiting.ts';

/** What `push` takes when no file is named. */
const DEFAULT_FILES = ['docket.yml', 'schedules.yml'];
/** Of `get`. */
const TICKS = 5;
const LAST_RUNS = 5;

interface Pushed {
  readonly schedule: string;
  readonly created: boolean;
  readonly trouble?: string;
  /** Whether a host has looked. */
  readonly checked: boolean;
}

export async function runPush(args: PushArguments): Promise<number> {
  const file = args.file ?? (await defaultFile());
  const output = outputOf(args);
  return withPlace(args, async (place) => {
    const schedules = await schedulesOfFile(file);
    if (place.box !== undefined) for (const { job } of schedules) refuseElsewhere(job);
    const created = new Map<string, boolean>();
    for (const schedule of schedules) {
      const pushed = await pushSchedule(place.fleet, schedule);
      created.set(schedule.name, pushed.created);
      const { name } = schedule;
      const still = pushed.staysSuspended ? `; it stays suspended: cron resume ${name}` : '';
      const words = `${pushed.created ? 'Created' : 'Updated'} schedule ${name}${still}`;
      output.result({ kind: 'pushed', schedule: name, ...pushed }, words);
    }
    await ensureExecuted(place);
    const checked = await checks(place, schedules, output);
    const pushed = checked.map((value) => pushedOf(value, created));
    return endPush(place, pushed, output, args.json);
  });
}

async function defaultFile(): Promise<string> {
  for (const name of DEFAULT_FILES) {
    if (await isThere(name)) return name;
  }
  throw new GantryError('usage', `There is no ${DEFAULT_FILES.join(' and no ')} here`, {
    hint: 'Name a file: cron push FILE.',
  });
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The schedules once a host has looked at each, or the time is over, or there is nobody to look. */
async function checks(
  { fleet, box }: Place,
  schedules: readonly Schedule[],
  output: Output,
): Promise<readonly ScheduleValue[]> {
  const names = schedules.map(({ name }) => name);
  const isLooked = box !== undefined || (await listExecutors(fleet)).length > 0;
  if (!isLooked) return schedulesNamed(fleet, names);
  output.progress('Looking whether the images can be had');
  try {
    return await interruptible((signal) => untilChecked(fleet, names, CHECK_MS, signal));
  } finally {
    output.end();
  }
}

function pushedOf(value: ScheduleValue, created: ReadonlyMap<string, boolean>): Pushed {
  const { schedule, trouble } = value;
  return {
    schedule: schedule.name,
    created: created.get(schedule.name) === true,
    checked: isChecked(value),
    ...(trouble === undefined ? {} : { trouble }),
  };
}

/** What is wrong is told last, so that it is seen. */
function endPush({ box }: Place, pushed: readonly Pushed[], output: Output, json: boolean): number {
  const bad = pushed.filter(({ trouble }) => trouble !== undefined);
  const open = pushed.filter(({ checked }) => !checked);
  const lines = [
    ...open.map(({ schedule }) => `Nobody has looked yet whether the images of ${schedule} can be had`),
    ...bad.map(({ schedule, trouble }) => `Schedule ${schedule} does not fire: ${trouble}`),
  ];
  if (open.length > 0 && box === undefined) lines.push('A host that runs jobs looks: see cron list.');
  if (lines.length > 0 || json)
    output.result({ kind: 'result', action: 'push', schedules: pushed }, lines.join('\n'));
  return bad.length > 0 ? 1 : 0;
}

export async function runCronList(args: JobArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const { fleet } = place;
    const schedules = await listSchedules(fleet);
    const runs = schedules.length === 0 ? [] : await listRuns(fleet);
    if (schedules.some(({ schedule }) => !schedule.suspended)) await ensureExecuted(place);
    const rows = schedules.map((value) => ({ value, last: lastRun(runs, value.schedule.name) }));
    const documents = rows.map(({ value, last }) => ({
      ...scheduleDocument(value, nextTicks(value, fleet.now(), 1)),
      ...(last === undefined ? {} : { last: runDocument(last) }),
    }));
    outputOf(args).document(
      { project: fleet.project, schedules: documents },
      renderSchedules(rows, fleet.now()),
    );
    return 0;
  });
}

function lastRun(runs: readonly RunValue[], name: string): RunValue | undefined {
  return runs.find(({ schedule, startedAt }) => schedule?.name === name && startedAt !== undefined);
}

export async function runGet(args: ScheduleArguments): Promise<number> {
  return withPlace(args, async ({ fleet }) => {
    const value = await getSchedule(fleet, args.name);
    const runs = (await scheduleHistory(fleet, args.name)).slice(0, LAST_RUNS);
    const ticks = nextTicks(value, fleet.now(), TICKS);
    const document = { ...scheduleDocument(value, ticks), runs: runs.map(runDocument) };
    outputOf(args).document(document, renderSchedule(value, ticks, runs, fleet.now()));
    return 0;
  });
}

export async function runDelete(args: ScheduleArguments): Promise<number> {
  return withPlace(args, async ({ fleet }) => {
    const { underWay } = await deleteSchedule(fleet, args.name);
    const lines = [
      `Deleted schedule ${args.name}`,
      ...underWay.map(({ id }) => `Its run ${id} is not over; job cancel ${id} ends it`),
    ];
    const ids = underWay.map(({ id }) => id);
    outputOf(args).document({ schedule: args.name, deleted: true, underWay: ids }, lines.join('\n'));
    return 0;
  });
}

export async function runNow(args: RunScheduleArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const run = await runSchedule(place.fleet, args.name);
    if (!args.follow) {
      await ensureExecuted(place);
      outputOf(args).document(runDocument(run), run.id);
      return 0;
    }
    const sink = openSink({ json: args.json, level: args.logLevel, showLogs: true });
    sink.note(`Run ${run.id}`);
    return sink.ended(await watched(args, place, { run, sink }));
  });
}

export async function runSuspend(args: ScheduleArguments, suspended: boolean): Promise<number> {
  return withPlace(args, async (place) => {
    const { changed } = await suspendSchedule(place.fleet, args.name, suspended);
    if (!suspended) await ensureExecuted(place);
    const state = suspended ? 'suspended' : 'resumed';
    const words = changed ? `Schedule ${args.name} is ${state}` : `Schedule ${args.name} is ${state} already`;
    outputOf(args).document({ schedule: args.name, suspended, changed }, words);
    return 0;
  });
}

export async function runCronHistory(args: ScheduleArguments): Promise<number> {
  return withPlace(args, async ({ fleet }) => {
    const runs = await scheduleHistory(fleet, args.name);
    const document = { project: fleet.project, schedule: args.name, runs: runs.map(runDocument) };
    outputOf(args).document(document, renderScheduleRuns(args.name, runs, fleet.now()));
    return 0;
  });
}
