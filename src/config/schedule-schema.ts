/**
 * Schedule files as data: our own form, and the cron server's that gantryd replaces (docket), which is taken as it
 * is and holds Docker's own words. What a schema cannot say is in schedule-parse.ts.
 */
import type { FromSchema } from 'json-schema-to-ts';
import { CONTAINER_FIELDS, JOB_FIELDS, JOB_SCHEMA } from './job-schema.ts';
import type { SchemaNode } from './schema.ts';

export const SCHEDULE_NAME = '^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$';

/** One entry. `job` is validated as a job file is. */
export const SCHEDULE_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'cron'],
  properties: {
    name: {
      type: 'string',
      pattern: SCHEDULE_NAME,
      description: 'Name of the schedule, unique in the project.',
    },
    cron: {
      type: 'string',
      description: 'Cron expression that says when it runs, as `15 3 * * *`; docs/jobs.md has its grammar.',
    },
    timeZone: {
      type: 'string',
      minLength: 1,
      description:
        'IANA name of the time zone that `cron` counts in, as `Europe/Berlin`. Default: that of the machine where it is pushed, told to the fleet by name.',
    },
    overlap: {
      type: 'string',
      enum: ['forbid', 'queue', 'replace', 'allow'],
      default: 'forbid',
      description:
        'What a tick does while a run of an earlier one is under way. `forbid`: nothing, it is noted as skipped. `queue`: waits until that has ended. `replace`: cancels it. `allow`: runs beside it.',
    },
    missed: {
      type: 'string',
      enum: ['skip', 'runOnce'],
      default: 'runOnce',
      description:
        'What is done about ticks that are more than a minute late, as when no host was there. `runOnce`: one run for all of them. `skip`: none.',
    },
    suspended: {
      type: 'boolean',
      default: false,
      description: 'Makes no runs until it is resumed; a push does not resume it.',
    },
    job: {
      type: 'object',
      additionalProperties: true,
      description:
        'What runs: all that a job file has. For one step its fields may stand in the entry itself instead, `image`, `command` and so on.',
    },
    ...CONTAINER_FIELDS,
    ...JOB_FIELDS,
  },
} as const;

const { $schema: _, title: __, properties: JOB_PROPERTIES, ...JOB_REST } = JOB_SCHEMA;
const { $schema: ___, ...JOB_OWN } = JOB_PROPERTIES;

const ENTRY = {
  ...SCHEDULE_SCHEMA,
  properties: {
    ...SCHEDULE_SCHEMA.properties,
    job: {
      ...JOB_REST,
      properties: JOB_OWN,
      description: SCHEDULE_SCHEMA.properties.job.description,
    },
  },
} as const;

/** The file as editors check it; gantryd takes the bare list too. */
export const SCHEDULES_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Schedules of gantryd',
  type: 'object',
  additionalProperties: false,
  required: ['schedules'],
  properties: {
    $schema: { type: 'string', description: 'For editors: where this schema is.' },
    schedules: { type: 'array', minItems: 1, description: 'The schedules.', items: ENTRY },
  },
} as const;

const part = (description: string) => ({ type: 'object', additionalProperties: true, description }) as const;
const strings = (description: string) =>
  ({ type: ['array', 'string'], items: { type: 'string' }, description }) as const;

/** One entry of the cron server's form. What Docker's body has besides is handed on as it is. */
export const DOCKET_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['Name', 'Cron', 'Container'],
  properties: {
    Name: { type: 'string', pattern: SCHEDULE_NAME, description: 'Name of the schedule.' },
    Cron: { type: 'string', description: 'When it runs.' },
    Logs: { type: 'array', description: 'What the cron server told of it; passed over.' },
    Container: {
      type: 'object',
      additionalProperties: false,
      required: ['Config'],
      description: "The body of Docker's create call.",
      properties: {
        Config: {
          ...part('What runs.'),
          required: ['Image'],
          properties: {
            Image: { type: 'string', minLength: 1, description: 'The image.' },
            Env: { type: 'array', items: { type: 'string' }, description: 'Variables as NAME=value.' },
            Cmd: strings('Program and arguments.'),
            Entrypoint: strings('Program and arguments in place of the entrypoint.'),
            User: { type: 'string', description: 'User to run as.' },
          },
        },
        HostConfig: {
          ...part('How it runs.'),
          properties: {
            Memory: { type: 'integer', minimum: 0, description: 'Most memory, in bytes.' },
            NanoCpus: { type: 'integer', minimum: 0, description: 'CPUs, in billionths.' },
            CpuShares: { type: 'integer', minimum: 0, description: 'Weight of the CPUs.' },
            Binds: { type: 'array', items: { type: 'string' }, description: 'Mounts as SOURCE:TARGET.' },
            NetworkMode: { type: 'string', description: 'Network.' },
          },
        },
        NetworkingConfig: part('Its networks.'),
      },
    },
  },
} as const;

export type RawSchedule = FromSchema<typeof SCHEDULE_SCHEMA>;
export type RawDocket = FromSchema<typeof DOCKET_SCHEMA, { keepDefaultedPropertiesOptional: true }>;

export const SCHEDULE_ROOT: SchemaNode = SCHEDULE_SCHEMA;
export const SCHEDULES_ROOT: SchemaNode = SCHEDULES_SCHEMA;
export const DOCKET_ROOT: SchemaNode = DOCKET_SCHEMA;
