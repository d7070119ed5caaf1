/**
 * The cron server's API (docket), for its clients, below /cron: an allocation is a schedule of the agent's own project. What
 * it answers, and where it differs, is in docs/compatibility.md.
 */
import type { RunValue, ScheduleValue } from '../../cluster/job-values.ts';
import { docketOf } from '../../config/docket.ts';
import type { Schedule } from '../../config/job.ts';
import { isRecord } from '../../config/problems.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import {
  deleteSchedule,
  getSchedule,
  listRuns,
  listSchedules,
  pushSchedule,
  scheduleHistory,
} from '../../jobs/intents/intents.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import type { ApiAround } from '../around.ts';
import { scheduleOfBody } from '../jobs/job-documents.ts';
import { problemOf, type Wrong } from '../problem.ts';
import type { Call, Reply, Route } from '../route.ts';
import { jsonBody, ownJobs, reasonIn, statusOf } from './asked.ts';
import { logsOf } from './cron-logs.ts';
import { type Refused, refusedJson, refusedProblems } from './cron-problems.ts';

const JSON_TYPE = { 'content-type': 'application/json; charset=UTF-8' };
/** What is wrong besides is told all the same. */
const NAMELESS = 'nameless';
const NO_NAME: Wrong = { pointer: '/Name', message: 'Required' };
const ZONE_WITHOUT_NAME = 'UTC';

export function cronRoutes(around: ApiAround): readonly Route[] {
  const of = { tag: 'cron server', compatible: true, answer: { status: 200 } } as const;
  const answered = (handle: (fleet: JobFleet, call: Call) => Promise<Reply>) => (call: Call) =>
    told(() => handle(ownJobs(around, call.caller), call));
  // Clients join their base and the name; some end the base with a slash.
  const roots = ['/cron', '/cron/'].flatMap((path): Route[] => [
    {
      ...{ ...of, method: 'GET', path, access: 'read', summary: 'All allocations' },
      handle: answered(list),
    },
    {
      ...{ ...of, method: 'POST', path, access: 'deploy', body: 'bytes' },
      ...{ summary: 'Create or replace an allocation', handle: answered(push) },
    },
  ]);
  return [
    ...roots,
    {
      ...{ ...of, method: 'GET', path: '/cron/:name', access: 'read', summary: 'An allocation' },
      handle: answered(show),
    },
    {
      ...{ ...of, method: 'DELETE', path: '/cron/:name', access: 'deploy' },
      ...{ summary: 'Delete an allocation', handle: answered(remove) },
    },
  ];
}

/** Its errors had no words. */
async function told(answer: () => Promise<Reply>): Promise<Reply> {
  try {
    return { ...(await answer()), headers: JSON_TYPE };
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return { status: statusOf(error), headers: { ...JSON_TYPE, ...reasonIn(error) }, body: {} };
  }
}

async function list(fleet: JobFleet): Promise<Reply> {
  const schedules = await listSchedules(fleet);
  const runs = schedules.length === 0 ? [] : await listRuns(fleet);
  const runsOf = (name: string) => runs.filter(({ schedule }) => schedule?.name === name);
  const all = schedules.flatMap((value) => allocation(value, runsOf(value.schedule.name)) ?? []);
  return { status: 200, body: all };
}

async function show(fleet: JobFleet, { params }: Call): Promise<Reply> {
  const { name = '' } = params;
  const value = await getSchedule(fleet, name);
  return { status: 200, body: allocation(value, await scheduleHistory(fleet, name)) ?? notOfThisForm(name) };
}

async function remove(fleet: JobFleet, { params }: Call): Promise<Reply> {
  const { name = '' } = params;
  const { schedule } = await getSchedule(fleet, name);
  if (docketOf(schedule) === undefined) notOfThisForm(name);
  await deleteSchedule(fleet, name);
  return { status: 200, body: { deleted: true } };
}

async function push(fleet: JobFleet, call: Call): Promise<Reply> {
  let sent: unknown;
  try {
    sent = await jsonBody(call);
  } catch (error) {
    if (!isGantryError(error, 'usage')) throw error;
    return { status: 400, body: refusedJson(error.message) };
  }
  const read = scheduleOf(sent);
  if ('refused' in read) return { status: 422, body: read.refused };
  const { created } = await pushSchedule(fleet, read.schedule);
  return { status: 200, body: { created } };
}

function scheduleOf(sent: unknown): { readonly schedule: Schedule } | { readonly refused: Refused } {
  const document = isRecord(sent) ? sent : {};
  const isNamed = typeof document.Name === 'string' && document.Name !== '';
  const name = isNamed ? String(document.Name) : NAMELESS;
  try {
    const schedule = scheduleOfBody(name, { ...document, Name: name }, ownZone());
    return isNamed ? { schedule } : { refused: refusedProblems(document, [NO_NAME]) };
  } catch (error) {
    const problems = isGantryError(error) ? (problemOf(error).body.problems ?? []) : [];
    if (problems.length === 0) throw error;
    return { refused: refusedProblems(document, isNamed ? problems : [NO_NAME, ...problems]) };
  }
}

/** Of the machine that serves, as that of the server was. */
function ownZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone ?? ZONE_WITHOUT_NAME;
}

function allocation(value: ScheduleValue, runs: readonly RunValue[]) {
  const specification = docketOf(value.schedule);
  return specification && { ...specification, Logs: logsOf(value, runs) };
}

function notOfThisForm(name: string): never {
  throw new GantryError('schedule-unknown', `the schedule ${name} is no allocation: it has more to it`, {
    hint: 'It is at /v1/projects/PROJECT/schedules.',
  });
}
