/**
 * The workflow engine's API (dray), for its clients: a job is a run of the agent's own project. What it answers, and
 * where it differs, is in docs/compatibility.md.
 */
import { randomBytes } from 'node:crypto';
import type { RunState, RunValue } from '../../cluster/job-values.ts';
import { isRecord } from '../../config/problems.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import { forgetRun, isForgotten } from '../../jobs/intents/forget.ts';
import { listRuns, submitRun } from '../../jobs/intents/intents.ts';
import { runAt } from '../../jobs/intents/run-records.ts';
import { refuseNowhere } from '../../jobs/intents/waiting.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import { isOver } from '../../jobs/runs.ts';
import type { ApiAround } from '../around.ts';
import { jobOfBody } from '../jobs/job-documents.ts';
import { filesFor } from '../jobs/job-project.ts';
import type { Call, Reply, Route } from '../route.ts';
import { jsonBody, ownJobs, reasonIn, statusOf } from './asked.ts';
import { indexOf, linesFrom } from './workflow-lines.ts';

const VERSION = /^v[\d.]+$/;
/** What a job had once it was made, and clients may send back. */
const ANSWERED = ['id', 'status', 'stepsCompleted', 'createdAt', 'finishedIn'];
const JSON_TYPE = { 'content-type': 'application/json' };

/** A job that nobody runs yet had none. */
const STATUS: Readonly<Record<RunState, string | undefined>> = {
  pending: undefined,
  running: 'running',
  complete: 'complete',
  failed: 'error',
  cancelled: 'error',
  lost: 'error',
  skipped: 'error',
};

export function workflowRoutes(around: ApiAround): readonly Route[] {
  return ['', '/:version'].flatMap((before) => routesBelow(around, before));
}

function routesBelow(around: ApiAround, before: string): readonly Route[] {
  const job = { tag: 'workflow engine', compatible: true } as const;
  const answered = (handle: (fleet: JobFleet, call: Call) => Promise<Reply>) => (call: Call) =>
    told(call, () => handle(ownJobs(around, call.caller), call));
  return [
    {
      ...{ ...job, method: 'POST', path: `${before}/jobs`, access: 'deploy', body: 'bytes' },
      ...{ summary: 'Make a job', answer: { status: 201 }, handle: answered(make) },
    },
    {
      ...{ ...job, method: 'GET', path: `${before}/jobs`, access: 'read' },
      ...{ summary: 'Ids of the jobs', answer: { status: 200 }, handle: answered(list) },
    },
    {
      ...{ ...job, method: 'GET', path: `${before}/jobs/:id`, access: 'read' },
      ...{ summary: 'How far a job is', answer: { status: 200 }, handle: answered(show) },
    },
    {
      ...{ ...job, method: 'GET', path: `${before}/jobs/:id/log`, access: 'read' },
      query: { index: { type: 'string', description: 'From this line on.' } },
      ...{ summary: 'Lines that a job printed', answer: { status: 200 } },
      handle: answered((fleet, call) => lines(around, fleet, call)),
    },
    {
      ...{ ...job, method: 'DELETE', path: `${before}/jobs/:id`, access: 'deploy' },
      ...{ summary: 'Forget a job', answer: { status: 204 }, handle: answered(forget) },
    },
  ];
}

/** Its clients read a status, and no body of one that is no success. */
async function told({ params, request }: Call, answer: () => Promise<Reply>): Promise<Reply> {
  const { version } = params;
  if (version !== undefined && !VERSION.test(version))
    throw new GantryError('not-found', `there is nothing below /${version}/jobs`);
  const type = request.method === 'DELETE' ? {} : JSON_TYPE;
  try {
    const { headers, ...reply } = await answer();
    return { ...reply, headers: { ...type, ...headers } };
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return { status: statusOf(error), headers: { ...type, ...reasonIn(error) } };
  }
}

async function make(fleet: JobFleet, call: Call): Promise<Reply> {
  const sent = said(await jsonBody(call));
  const document = isRecord(sent) ? without(sent, ANSWERED) : sent;
  const job = jobOfBody(document);
  await refuseNowhere(fleet, job);
  const { id } = await submitRun(fleet, job, { id: newId(), input: { kind: 'none' } });
  const { name, steps, environment } = document as Readonly<Record<string, unknown>>;
  const echo = Object.entries({ id, name, steps, environment }).filter(([, value]) => !isEmpty(value));
  return { status: 201, body: Object.fromEntries(echo) };
}

/** The engine took what is null for what is not there. */
function said(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(said);
  if (!isRecord(value)) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(fields.map(([name, field]) => [name, said(field)]));
}

/** 16 random bytes, as the engine wrote them. */
function newId(): string {
  const hex = randomBytes(16).toString('hex').toUpperCase();
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function isEmpty(value: unknown): boolean {
  return (
    value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
  );
}

function without(value: object, names: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));
}

async function list(fleet: JobFleet): Promise<Reply> {
  const runs = (await listRuns(fleet)).filter((run) => !isForgotten(run));
  return { status: 200, body: runs.reverse().map(({ id }) => ({ id })) };
}

async function show(fleet: JobFleet, { params }: Call): Promise<Reply> {
  const { id, state, steps } = await jobAt(fleet, params.id);
  const stepsCompleted = steps.filter((step) => step.state === 'complete').length;
  const status = STATUS[state];
  const body = {
    id,
    ...(stepsCompleted === 0 ? {} : { stepsCompleted }),
    ...(status === undefined ? {} : { status }),
  };
  return { status: 200, body };
}

async function lines(around: ApiAround, fleet: JobFleet, { params, query, signal }: Call): Promise<Reply> {
  const run = await jobAt(fleet, params.id);
  if (run.host === undefined) return { status: 200, body: { lines: [] } };
  try {
    const files = await filesFor(around, fleet, run);
    const log = files.log(run.id, { follow: false }, signal);
    return { status: 200, body: { lines: await linesFrom(log, indexOf(query.index), isOver(run)) } };
  } catch (error) {
    const isToCome = isGantryError(error, 'output-gone') && !error.retryable && !isOver(run);
    if (!isToCome) throw error;
    return { status: 200, body: { lines: [] } };
  }
}

async function forget(fleet: JobFleet, { params }: Call): Promise<Reply> {
  if (await forgetRun(fleet, params.id ?? '')) return { status: 204 };
  throw unknown(params.id);
}

/** Of exactly that id. */
async function jobAt(fleet: JobFleet, id = ''): Promise<RunValue> {
  const run = (await runAt(fleet, id))?.run;
  if (run === undefined || isForgotten(run)) throw unknown(id);
  return run;
}

function unknown(id: string | undefined): GantryError {
  return new GantryError('run-unknown', `there is no job ${id}`);
}
