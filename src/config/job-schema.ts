/**
 * Job files as data, as schema.ts is for the project file: our own form, with defaults and descriptions, and the
 * form of the workflow engine that gantryd replaces (dray), which is taken as it is. What a schema cannot say is in
 * job-rules.ts.
 */
import type { FromSchema } from 'json-schema-to-ts';
import { DEFAULT_KEEP_MS } from './job.ts';
import { MAX_MS, MAX_SECONDS, MEMORY, NAME, type SchemaNode } from './schema.ts';

export const MAX_RETRIES = 1_000;
export const MAX_KEEP_MS = 10 * 366 * 86_400_000;
const VARIABLE = '^[^=\\u0000]+$';
export const MIN_MEMORY_BYTES = 6 * 1024 * 1024;

const text = (description: string) => ({ type: 'string', minLength: 1, description }) as const;
const texts = (description: string) =>
  ({ type: 'array', items: { type: 'string', minLength: 1 }, default: [], description }) as const;
const words = (description: string) =>
  ({ type: ['array', 'string'], items: { type: 'string' }, description }) as const;

const variables = (description: string) =>
  ({
    type: ['array', 'object'],
    default: [],
    description,
    additionalProperties: { type: 'string' },
    items: {
      type: 'object',
      additionalProperties: false,
      required: ['name', 'value'],
      properties: {
        name: { type: 'string', pattern: VARIABLE, description: 'Name of the variable.' },
        value: { type: 'string', description: 'Its value.' },
      },
    },
  }) as const;

/** What a container of a job is made of: the fields of a step besides its name. */
export const CONTAINER_FIELDS = {
  image: text('Image, with a tag or a digest; without one it is `:latest`.'),
  entrypoint: words(
    "Program and arguments in place of the image's entrypoint. A text is split as a shell does.",
  ),
  command: words(
    "Program and arguments, or those of the entrypoint. A text is split as a shell does: quotes count, `$VAR` and `*` stay as they are written. Default: the image's.",
  ),
  user: text("User to run as. Default: the image's."),
  environment: variables(
    "Variables, as a list or as an object of names to values. Later ones win, and a step's win over its job's.",
  ),
  output: {
    type: 'string',
    default: 'stdout',
    description:
      'Where the output is taken from, which the next step reads: `stdout`, `stderr`, or the absolute path of a file in the container, read once it has ended with 0.',
  },
  beginDelimiter: text(
    'With `endDelimiter`: output is only what stands on lines between one that is exactly this and one that is exactly `endDelimiter`. Not for a file.',
  ),
  endDelimiter: text('See `beginDelimiter`.'),
  refresh: {
    type: 'boolean',
    default: false,
    description: 'Pull the image even when the host has it.',
  },
  timeout: {
    type: ['integer', 'string'],
    minimum: 1000,
    maximum: MAX_MS,
    description:
      'How long the container may run, from its start: milliseconds, or a text as `90s`, `5m`, `1h30m`. Then it is stopped, and the run fails with exit code 124. Default: as long as it takes.',
  },
  networks: texts(
    "Docker networks to join, all of them. Default: Docker's bridge. `host`, `none` and `container:NAME` stand alone.",
  ),
  networkMode: text('A single network, in place of `networks`.'),
  mounts: {
    type: 'array',
    default: [],
    description:
      'Folders, files and volumes of the host to mount: `SOURCE=TARGET`, `SOURCE=TARGET:ro`, or an object.',
    items: {
      type: ['string', 'object'],
      additionalProperties: false,
      required: ['source', 'target'],
      properties: {
        source: text('Absolute path on the host, or the name of a volume.'),
        target: text('Absolute path in the container.'),
        readOnly: { type: 'boolean', default: false, description: 'Mount read-only.' },
      },
    },
  },
  memory: {
    type: ['integer', 'string'],
    minimum: MIN_MEMORY_BYTES,
    pattern: MEMORY,
    description: 'Bytes, or a number with `k`, `m` or `g` (powers of 1024). At least 6m, as Docker demands.',
  },
  cpus: { type: 'number', exclusiveMinimum: 0, description: 'Number of CPUs, as `0.5`.' },
  cpuShares: {
    type: 'integer',
    minimum: 2,
    maximum: 262_144,
    description: 'Weight against other containers when CPUs are short; 1024 is usual.',
  },
  secrets: {
    type: 'array',
    items: { type: 'string', pattern: NAME },
    default: [],
    description: 'Secrets that were set, by name. Each is a file `/run/secrets/NAME`, for the user alone.',
  },
  registryAuth: text(
    'Docker config file with the credentials for the registry, on the host that runs it. A relative path counts from the folder of this file.',
  ),
} as const;

/** What a job has besides its steps. */
export const JOB_FIELDS = {
  input: {
    type: 'string',
    description: 'What the first step reads from its standard input, as base64. Default: nothing.',
  },
  constraints: texts(
    'Which hosts may run it, all must hold: `host==NAME`, `host!=NAME`, `label.KEY==VALUE`, `label.KEY!=VALUE`.',
  ),
  retries: {
    type: 'integer',
    minimum: 0,
    maximum: MAX_RETRIES,
    default: 0,
    description: 'How often it is tried again, from the first step, after it failed or its host was lost.',
  },
  keep: {
    type: ['integer', 'string'],
    minimum: 0,
    maximum: MAX_KEEP_MS,
    default: DEFAULT_KEEP_MS,
    description:
      'How long record, log and output are kept after the end: milliseconds, or a text as `12h`, `7d`.',
  },
  remove: { type: 'boolean', default: false, description: 'Keep nothing of it once it has ended.' },
} as const;

export const JOB_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'A job of gantryd',
  type: 'object',
  additionalProperties: false,
  required: ['steps'],
  properties: {
    $schema: { type: 'string', description: 'For editors: where this schema is.' },
    name: { type: 'string', default: '', description: 'Name of the job, shown in lists.' },
    steps: {
      type: 'array',
      minItems: 1,
      description:
        'One container each, run one after the other. What one gives as its output the next one reads.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['image'],
        properties: {
          name: {
            type: 'string',
            default: '',
            description: 'Name of the step, shown in lists and messages.',
          },
          ...CONTAINER_FIELDS,
        },
      },
    },
    environment: variables('Variables of every step, as a list or as an object of names to values.'),
    ...JOB_FIELDS,
  },
} as const;

const engineVariables = {
  type: 'array',
  description: 'Variables.',
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['variable'],
    properties: {
      variable: { type: 'string', pattern: VARIABLE, description: 'Name of the variable.' },
      value: { type: 'string', description: 'Its value. Default: empty.' },
    },
  },
} as const;

/** The workflow engine's form. 0 and '' are what leaving a field out is: so it was. */
export const WORKFLOW_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  required: ['steps'],
  properties: {
    name: { type: 'string', description: 'Name of the job.' },
    environment: engineVariables,
    input: { type: 'string', description: 'Standard input of the first step, as base64.' },
    steps: {
      type: 'array',
      minItems: 1,
      description: 'One container each, run one after the other.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['source'],
        properties: {
          name: { type: 'string', description: 'Name of the step.' },
          source: text('Image; without a tag it is `:latest`.'),
          environment: engineVariables,
          output: { type: 'string', description: '`stdout`, `stderr` or an absolute path.' },
          beginDelimiter: { type: 'string', description: 'Output begins after a line that is this.' },
          endDelimiter: { type: 'string', description: 'Output ends before a line that is this.' },
          refresh: { type: 'boolean', description: 'Pull the image even when the host has it.' },
          networkMode: { type: 'string', description: 'Network of the container.' },
          cpuShares: { type: 'integer', minimum: 0, maximum: 262_144, description: 'Weight of the CPUs.' },
          memory: { type: 'integer', minimum: 0, description: 'Most memory, in bytes.' },
          timeout: {
            type: 'integer',
            minimum: 0,
            maximum: MAX_SECONDS,
            description: 'How long the container may run, in seconds.',
          },
        },
      },
    },
  },
} as const;

export type RawJob = FromSchema<typeof JOB_SCHEMA>;
export type RawStep = RawJob['steps'][number];
export type RawWorkflow = FromSchema<typeof WORKFLOW_SCHEMA, { keepDefaultedPropertiesOptional: true }>;

export const JOB_ROOT: SchemaNode = JOB_SCHEMA;
export const WORKFLOW_ROOT: SchemaNode = WORKFLOW_SCHEMA;
