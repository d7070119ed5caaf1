/** Runs, schedules and secrets as the API takes and answers them. Data only. */
import type { Schema } from '../route.ts';

const text = (description: string) => ({ type: 'string', description }) as const;
const time = (description: string) => ({ type: 'string', format: 'date-time', description }) as const;
const list = (items: Schema) => ({ type: 'array', items }) as const;

/** What it may hold is told by whoever reads it, in words that say what would be right. */
export const JOB_BODY = {
  type: 'object',
  description: 'A job, as a job file has it: schema/job.schema.json, docs/jobs.md.',
  properties: { name: { type: 'string' }, steps: { type: 'array', items: { type: 'object' } } },
  required: ['steps'],
} as const;

export const SCHEDULE_BODY = {
  type: 'object',
  description:
    'A schedule, as one entry of a schedule file: schema/schedules.schema.json, docs/jobs.md. `name` may be left out.',
} as const;

export const RUN = {
  type: 'object',
  required: ['kind', 'id', 'state', 'at', 'by', 'job', 'steps'],
  properties: {
    kind: { const: 'run' },
    id: text('Of the run.'),
    state: { enum: ['pending', 'running', 'complete', 'failed', 'cancelled', 'lost', 'skipped'] },
    by: text('Who made it.'),
    at: time('When it was made.'),
    startedAt: time('When its last attempt began.'),
    endedAt: time('When it ended.'),
    host: text('Where it runs, or ran last.'),
    attempt: { type: 'integer', minimum: 0, description: '0: no host has begun it.' },
    schedule: { type: 'object', description: 'What made it; absent: a person.' },
    steps: { type: 'array', items: { type: 'object' }, description: 'How far each step is.' },
    end: { type: 'object', description: 'How it ended: `kind`, `exitCode`, `why`, the last lines.' },
    pending: text('What it waits for.'),
    job: { type: 'object', description: 'As it was submitted, without input and secrets.' },
    hasInput: { type: 'boolean' },
  },
} as const;

export const SCHEDULE = {
  type: 'object',
  required: ['kind', 'name', 'cron', 'timeZone', 'suspended', 'next', 'job'],
  properties: {
    kind: { const: 'schedule' },
    name: text('Of the schedule.'),
    cron: text('When it runs.'),
    timeZone: text('In which `cron` counts.'),
    overlap: { enum: ['forbid', 'queue', 'replace', 'allow'] },
    missed: { enum: ['skip', 'runOnce'] },
    suspended: { type: 'boolean' },
    trouble: text('Why it does not fire; absent: nothing is known to be wrong.'),
    checked: { type: 'object', description: 'Which host looked whether its images can be had, and when.' },
    next: { ...list({ type: 'string', format: 'date-time' }), description: 'The ticks that come next.' },
    last: { ...RUN, description: 'Its last run that began.' },
    runs: { ...list(RUN), description: 'Its last runs.' },
    job: { type: 'object' },
  },
} as const;

export const PUSHED = {
  ...SCHEDULE,
  properties: {
    ...SCHEDULE.properties,
    created: { type: 'boolean', description: 'False: it replaced the one of that name.' },
    staysSuspended: { type: 'boolean', description: 'It was suspended before, and is so still.' },
  },
} as const;

const project = text('Of which project.');

export const RUNS = {
  type: 'object',
  required: ['project', 'runs', 'more'],
  properties: { project, runs: list(RUN), more: { type: 'boolean', description: 'There are others.' } },
} as const;

export const HISTORY = {
  type: 'object',
  required: ['project', 'schedule', 'runs'],
  properties: { project, schedule: text('Its name.'), runs: list(RUN) },
} as const;

export const SCHEDULES = {
  type: 'object',
  required: ['project', 'schedules'],
  properties: { project, schedules: list(SCHEDULE) },
} as const;

export const DELETED = {
  type: 'object',
  required: ['schedule', 'deleted', 'underWay'],
  properties: {
    schedule: text('Its name.'),
    deleted: { const: true },
    underWay: { ...list({ type: 'string' }), description: 'Ids of its runs that are not over, and go on.' },
  },
} as const;

export const SUSPENDED = {
  type: 'object',
  required: ['schedule', 'suspended', 'changed'],
  properties: {
    schedule: text('Its name.'),
    suspended: { type: 'boolean' },
    changed: { type: 'boolean', description: 'False: it was so already.' },
  },
} as const;

const bytes = { type: 'integer', minimum: 1, description: 'Of its value.' } as const;

export const SECRETS = {
  type: 'object',
  required: ['project', 'secrets'],
  properties: {
    project,
    secrets: list({
      type: 'object',
      required: ['name', 'bytes', 'by', 'at'],
      properties: { name: text('Of the secret.'), bytes, by: text('Who set it.'), at: time('When.') },
    }),
  },
} as const;

export const SECRET_SET = {
  type: 'object',
  required: ['secret', 'bytes', 'warnings'],
  properties: { secret: text('Its name.'), bytes, warnings: list({ type: 'string' }) },
} as const;
