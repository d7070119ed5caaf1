/** What `cron` does on the command line, over HTTP: schedules are pushed, looked at, run, suspended and deleted. */
import type { RunValue } from '../../cluster/job-values.ts';
import { isGantryError } from '../../errors.ts';
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
import { untilChecked, untilOver } from '../../jobs/intents/until.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import type { ApiAround } from '../around.ts';
import type { Call, Reply, Route } from '../route.ts';
import { WAIT, waitMsOf } from '../wait.ts';
import { scheduleOfBody } from './job-documents.ts';
import { jobFleet } from './job-project.ts';
import {
  DELETED,
  HISTORY,
  PUSHED,
  RUN,
  SCHEDULE,
  SCHEDULE_BODY,
  SCHEDULES,
  SUSPENDED,
} from './job-schemas.ts';

const PATH = '/v1/projects/:project/schedules';
/** Nobody knows where whoever asks is. */
const TIME_ZONE = 'UTC';
const TICKS = 5;
const LAST_RUNS = 5;

export function scheduleRoutes(around: ApiAround): readonly Route[] {
  const tag = { tag: 'schedules' } as const;
  const fleetOf = ({ params, caller }: Call) => jobFleet(around, params.project, caller);
  return [
    {
      ...{ ...tag, method: 'GET', path: PATH, access: 'read', summary: 'All schedules, by name' },
      answer: { status: 200, schema: SCHEDULES },
      handle: (call) => list(fleetOf(call)),
    },
    {
      ...{ ...tag, method: 'GET', path: `${PATH}/:name`, access: 'read', summary: 'A schedule' },
      answer: { status: 200, schema: SCHEDULE },
      handle: (call) => show(fleetOf(call), nameOf(call)),
    },
    {
      ...{ ...tag, method: 'PUT', path: `${PATH}/:name`, access: 'deploy' },
      summary: `Create a schedule (201) or replace it (200); without \`timeZone\` it counts in ${TIME_ZONE}`,
      query: {
        wait: { ...WAIT.wait, description: 'Until a host has looked whether its images can be had.' },
      },
      ...{ body: { schema: SCHEDULE_BODY }, answer: { status: 200, schema: PUSHED } },
      handle: (call) => push(fleetOf(call), call),
    },
    {
      ...{ ...tag, method: 'DELETE', path: `${PATH}/:name`, access: 'deploy' },
      ...{
        summary: 'Delete a schedule and what is kept of its runs',
        answer: { status: 200, schema: DELETED },
      },
      handle: (call) => remove(fleetOf(call), nameOf(call)),
    },
    {
      ...{ ...tag, method: 'POST', path: `${PATH}/:name/run`, access: 'deploy', query: WAIT },
      ...{ summary: 'Make a run of a schedule now', answer: { status: 201, schema: RUN } },
      handle: (call) => run(fleetOf(call), call),
    },
    {
      ...{ ...tag, method: 'POST', path: `${PATH}/:name/suspend`, access: 'deploy' },
      ...{ summary: 'Let a schedule make no more runs', answer: { status: 200, schema: SUSPENDED } },
      handle: (call) => suspend(fleetOf(call), nameOf(call), true),
    },
    {
      ...{ ...tag, method: 'POST', path: `${PATH}/:name/resume`, access: 'deploy' },
      ...{ summary: 'Let it make runs again, from now on', answer: { status: 200, schema: SUSPENDED } },
      handle: (call) => suspend(fleetOf(call), nameOf(call), false),
    },
    {
      ...{ ...tag, method: 'GET', path: `${PATH}/:name/history`, access: 'read' },
      ...{ summary: 'Its runs, the newest first', answer: { status: 200, schema: HISTORY } },
      handle: (call) => history(fleetOf(call), nameOf(call)),
    },
  ];
}

async function list(fleet: JobFleet): Promise<Reply> {
  const schedules = await listSchedules(fleet);
  const runs = schedules.length === 0 ? [] : await listRuns(fleet);
  const documents = schedules.map((value) => {
    const last = lastOf(runs, value.schedule.name);
    const document = scheduleDocument(value, nextTicks(value, fleet.now(), 1));
    return { ...document, ...(last === undefined ? {} : { last: runDocument(last) }) };
  });
  return { status: 200, body: { project: fleet.project, schedules: documents } };
}

function lastOf(runs: readonly RunValue[], name: string): RunValue | undefined {
  return runs.find(({ schedule, startedAt }) => schedule?.name === name && startedAt !== undefined);
}

async function show(fleet: JobFleet, name: string): Promise<Reply> {
  const value = await getSchedule(fleet, name);
  const runs = (await scheduleHistory(fleet, name)).slice(0, LAST_RUNS).map(runDocument);
  return { status: 200, body: { ...scheduleDocument(value, nextTicks(value, fleet.now(), TICKS)), runs } };
}

async function push(fleet: JobFleet, { params, query, body, signal }: Call): Promise<Reply> {
  const name = params.name ?? '';
  const waitMs = waitMsOf(query.wait);
  const schedule = scheduleOfBody(name, body as Readonly<Record<string, unknown>>, TIME_ZONE);
  const pushed = await pushSchedule(fleet, schedule);
  // Without a host nobody looks.
  if (waitMs !== undefined && (await listExecutors(fleet)).length > 0)
    await untilChecked(fleet, [name], waitMs, signal);
  const value = await getSchedule(fleet, name);
  const document = scheduleDocument(value, nextTicks(value, fleet.now(), TICKS));
  return { status: pushed.created ? 201 : 200, body: { ...document, ...pushed } };
}

async function remove(fleet: JobFleet, name: string): Promise<Reply> {
  const { underWay } = await deleteSchedule(fleet, name);
  return { status: 200, body: { schedule: name, deleted: true, underWay: underWay.map(({ id }) => id) } };
}

async function run(fleet: JobFleet, { params, query, signal }: Call): Promise<Reply> {
  const waitMs = waitMsOf(query.wait);
  const made = await runSchedule(fleet, params.name ?? '');
  const told = waitMs === undefined ? made : await untilOver(fleet, made.id, waitMs, signal).catch(unkept);
  return { status: 201, body: runDocument(told) };

  /** Its job keeps nothing of a run: how it ended is not known any more. */
  function unkept(error: unknown): RunValue {
    if (isGantryError(error, 'run-unknown') && made.job.remove) return made;
    throw error;
  }
}

async function suspend(fleet: JobFleet, name: string, suspended: boolean): Promise<Reply> {
  const { changed } = await suspendSchedule(fleet, name, suspended);
  return { status: 200, body: { schedule: name, suspended, changed } };
}

async function history(fleet: JobFleet, name: string): Promise<Reply> {
  const runs = await scheduleHistory(fleet, name);
  return { status: 200, body: { project: fleet.project, schedule: name, runs: runs.map(runDocument) } };
}

function nameOf({ params }: Call): string {
  return params.name ?? '';
}
