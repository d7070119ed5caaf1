/** What `job` does on the command line, over HTTP: runs are made, looked at, read, fed, cancelled and removed. */
import { isDeepStrictEqual } from 'node:util';
import type { RunValue } from '../../cluster/job-values.ts';
import type { Job } from '../../config/job.ts';
import { runDocument } from '../../jobs/intents/documents.ts';
import {
  cancelRun,
  findRun,
  listExecutors,
  listRuns,
  removeRun,
  type Submission,
  submitRun,
} from '../../jobs/intents/intents.ts';
import { runAt } from '../../jobs/intents/run-records.ts';
import { untilOver } from '../../jobs/intents/until.ts';
import { refuseNowhere, whyPending } from '../../jobs/intents/waiting.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import { isOver } from '../../jobs/runs.ts';
import type { ApiAround } from '../around.ts';
import type { Call, Reply, Route } from '../route.ts';
import { WAIT, waitMsOf } from '../wait.ts';
import { BYTES, LOG_QUERY, NDJSON } from '../wire.ts';
import { jobOfBody } from './job-documents.ts';
import { jobFleet, projectFiles } from './job-project.ts';
import { JOB_BODY, RUN, RUNS } from './job-schemas.ts';
import { sendLog, sendOutput, takeInput } from './job-server.ts';

const PATH = '/v1/projects/:project/runs';
const SHOWN = 100;
const MOST_SHOWN = 1_000;
/** Of a run of which nothing is to be kept, until whoever waits for it was told how it ended. */
const KEPT_UNTIL_TOLD_MS = 600_000;
const MAX_WHY = 200;

export function runRoutes(around: ApiAround): readonly Route[] {
  const fleetOf = ({ params, caller }: Call) => jobFleet(around, params.project, caller);
  const filesOf = (call: Call) => projectFiles(around, fleetOf(call));
  const run = { tag: 'runs' } as const;
  return [
    {
      ...{ ...run, method: 'POST', path: PATH, access: 'deploy', summary: 'Make a run of a job' },
      query: {
        ...WAIT,
        id: { type: 'string', description: 'Its id, so that it is made once: 200 where it was made before.' },
        input: { enum: ['upload'], description: 'Its input follows, by PUT to …/runs/ID/input.' },
      },
      ...{ body: { schema: JOB_BODY }, answer: { status: 201, schema: RUN } },
      handle: (call) => submit(fleetOf(call), call),
    },
    {
      ...{ ...run, method: 'GET', path: PATH, access: 'read', summary: 'Runs, the newest first' },
      query: {
        all: { type: 'boolean', description: 'Also those that are over.' },
        limit: {
          type: 'integer',
          minimum: 1,
          maximum: MOST_SHOWN,
          description: `How many; ${SHOWN} if not said.`,
        },
      },
      answer: { status: 200, schema: RUNS },
      handle: (call) => list(fleetOf(call), call),
    },
    {
      ...{ ...run, method: 'GET', path: `${PATH}/:run`, access: 'read', summary: 'A run' },
      answer: { status: 200, schema: RUN },
      handle: (call) => show(fleetOf(call), call),
    },
    {
      ...{ ...run, method: 'DELETE', path: `${PATH}/:run`, access: 'deploy' },
      ...{ summary: 'Remove a run that is over', answer: { status: 204 } },
      handle: async (call) => {
        await removeRun(fleetOf(call), idOf(call));
        return { status: 204 };
      },
    },
    {
      ...{ ...run, method: 'POST', path: `${PATH}/:run/cancel`, access: 'deploy' },
      summary: 'End a run; 200 where it is over by that, or was before, 202 where its host is asked',
      query: { why: { type: 'string', maxLength: MAX_WHY, description: 'Told with how it ended.' } },
      answer: { status: 202, schema: RUN },
      handle: (call) => cancel(fleetOf(call), call),
    },
    {
      ...{ ...run, method: 'GET', path: `${PATH}/:run/log`, access: 'read' },
      ...{ summary: 'What a run printed, entry by entry', query: LOG_QUERY, answer: NDJSON },
      handle: (call) => sendLog(filesOf(call), call),
    },
    {
      ...{ ...run, method: 'GET', path: `${PATH}/:run/output`, access: 'read' },
      ...{ summary: 'The output of a run that ended well', answer: BYTES },
      handle: (call) => sendOutput(filesOf(call), call),
    },
    {
      ...{ ...run, method: 'PUT', path: `${PATH}/:run/input`, access: 'deploy', body: 'bytes' },
      ...{ summary: 'What the first step of a run reads, once', answer: { status: 204 } },
      handle: (call) => takeInput(filesOf(call), call),
    },
  ];
}

async function submit(fleet: JobFleet, { query, body, signal }: Call): Promise<Reply> {
  const waitMs = waitMsOf(query.wait);
  const job = jobOfBody(body);
  await refuseNowhere(fleet, job);
  const { status, made } = await submitOnce(fleet, waitMs === undefined ? job : keptUntilTold(job), {
    input: { kind: query.input === 'upload' ? 'upload' : 'none' },
    ...(typeof query.id === 'string' ? { id: query.id } : {}),
  });
  const run = waitMs === undefined ? made : await untilOver(fleet, made.id, waitMs, signal);
  if (job.remove && isOver(run)) await removeRun(fleet, run.id);
  return { status, headers: { location: pathOf(fleet, run) }, body: runDocument(run) };
}

/** With an id given, whoever did not hear the answer may ask again: the same job of the same id is made once. */
async function submitOnce(
  fleet: JobFleet,
  job: Job,
  submission: Submission,
): Promise<{ readonly status: 200 | 201; readonly made: RunValue }> {
  try {
    return { status: 201, made: await submitRun(fleet, job, submission) };
  } catch (error) {
    const { id } = submission;
    const there = id === undefined ? undefined : await runAt(fleet, id);
    if (there === undefined || !isDeepStrictEqual(there.run.job, job)) throw error;
    return { status: 200, made: there.run };
  }
}

function keptUntilTold(job: Job): Job {
  return job.remove ? { ...job, remove: false, keepMs: KEPT_UNTIL_TOLD_MS } : job;
}

async function list(fleet: JobFleet, { query }: Call): Promise<Reply> {
  const runs = await listRuns(fleet, { active: query.all !== true });
  const limit = typeof query.limit === 'number' ? query.limit : SHOWN;
  const shown = runs.slice(0, limit).map(runDocument);
  return { status: 200, body: { project: fleet.project, runs: shown, more: runs.length > limit } };
}

async function show(fleet: JobFleet, call: Call): Promise<Reply> {
  const run = await findRun(fleet, idOf(call));
  if (run.state !== 'pending') return { status: 200, body: runDocument(run) };
  const pending = whyPending(run, await listExecutors(fleet), fleet.now());
  return { status: 200, body: { ...runDocument(run), pending } };
}

async function cancel(fleet: JobFleet, call: Call): Promise<Reply> {
  const { why } = call.query;
  const run = await cancelRun(fleet, idOf(call), typeof why === 'string' ? why : undefined);
  return { status: isOver(run) ? 200 : 202, body: runDocument(run) };
}

function idOf({ params }: Call): string {
  return params.run ?? '';
}

function pathOf({ project }: JobFleet, { id }: RunValue): string {
  return PATH.replace(':project', encodeURIComponent(project)).concat('/', encodeURIComponent(id));
}
