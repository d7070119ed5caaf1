/** What the routes of a fleet take and answer, as schemas. Data only. */
import { MAX_INSTANCES } from '../../config/schema.ts';

const text = { type: 'string' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const time = { type: 'string', format: 'date-time' } as const;
const flag = { type: 'boolean' } as const;
const object = { type: 'object' } as const;
const texts = { type: 'array', items: text } as const;

const image = {
  ...{ type: 'object', required: ['name', 'id', 'digests'] },
  properties: { name: text, id: text, digests: texts },
} as const;

const component = {
  component: text,
  status: {
    enum: ['ready', 'updating', 'rolling back', 'paused', 'failed', 'stopped', 'killed', 'unknown'],
    description: 'In one word; `unknown`: nothing was asked of it yet',
  },
  release: { ...count, description: '0: none was made' },
  image,
  scale: {
    description: 'How many somebody asked for, on each host or as `{"total": N}`; absent: as the config says',
  },
  by: { ...text, description: 'Who asked last' },
  at: time,
  reason: { ...text, description: 'Why it is paused, failed or going back' },
  hosts: {
    ...object,
    description: 'How many live hosts run it, and how many of them are as wanted',
    properties: { live: count, settled: count },
  },
  containers: { ...object, description: 'How many in each state', additionalProperties: count },
  connections: count,
} as const;

export const Component = {
  type: 'object',
  required: ['component', 'status', 'release', 'hosts', 'containers', 'connections'],
  properties: component,
} as const;

export const Components = {
  ...{ type: 'object', required: ['project', 'components'] },
  properties: { project: text, components: { type: 'array', items: Component } },
} as const;

const host = {
  type: 'object',
  required: ['component', 'host', 'release', 'phase', 'settled', 'connections', 'check', 'since', 'why'],
  properties: {
    ...{ component: text, host: text, release: count, phase: text, settled: flag },
    ...{ connections: count, check: text, since: text, why: text },
  },
} as const;

export const OneComponent = {
  ...{ type: 'object', required: [...Component.required, 'project', 'on'] },
  properties: {
    ...component,
    project: text,
    desired: { ...object, description: 'What is wanted of it, as etcd has it' },
    rollout: { ...object, description: 'Its last rollout, over or not' },
    turns: { type: 'array', items: object, description: 'Of its hosts, in the order of the queue' },
    on: { type: 'array', items: host, description: 'Each live host that runs it' },
  },
} as const;

export const Releases = {
  ...{ type: 'object', required: ['project', 'component', 'releases'] },
  properties: {
    project: text,
    component: text,
    releases: {
      type: 'array',
      description: 'The newest first',
      items: {
        ...{ type: 'object', required: ['release', 'image', 'at', 'by', 'outcome', 'desired'] },
        properties: {
          ...{ release: count, image, at: time, by: text, note: text, outcome: text, reason: text },
          desired: flag,
        },
      },
    },
  },
} as const;

export const Why = {
  ...{ type: 'object', required: ['project', 'component', 'words', 'turns', 'hosts'] },
  properties: {
    ...{ project: text, component: text, desired: object, rollout: object },
    words: { ...texts, description: 'The same as sentences, those about a host indented below its name' },
    turns: { type: 'array', items: object },
    hosts: { type: 'array', items: object, description: 'What each live host says of it' },
  },
} as const;

const changed = {
  type: 'object',
  required: ['component', 'release', 'generation', 'changed'],
  properties: {
    component: text,
    release: count,
    generation: { ...count, description: '0: it was never deployed' },
    changed: { ...flag, description: 'false: it was so already' },
    image,
  },
} as const;

export const Changes = {
  ...{ type: 'object', required: ['project', 'components'] },
  properties: {
    project: text,
    components: { type: 'array', items: changed },
    warnings: texts,
    endings: {
      type: 'array',
      description: 'With `wait`: how it ended',
      items: {
        ...{ type: 'object', required: ['component', 'outcome', 'why'] },
        properties: { component: text, outcome: text, why: text },
      },
    },
  },
} as const;

export const Steered = {
  ...{ type: 'object', required: ['project', 'component', 'release', 'generation', 'state', 'attempt'] },
  properties: {
    ...{ project: text, component: text, release: count, generation: count },
    ...{ changed: flag, state: text, attempt: count },
  },
} as const;

export const Projects = {
  ...{ type: 'object', required: ['projects'] },
  properties: { projects: texts },
} as const;

export const Config = {
  ...{ type: 'object', required: ['project', 'file', 'by', 'at'] },
  properties: {
    project: text,
    file: { ...object, description: 'The project file, as docs/config.md describes it' },
    ...{ by: text, at: time },
  },
} as const;

export const ConfigSet = {
  ...{ type: 'object', required: ['project', 'changed'] },
  properties: { project: text, changed: flag },
} as const;

export const Hosts = {
  ...{ type: 'object', required: ['hosts'] },
  properties: {
    hosts: {
      type: 'array',
      items: {
        ...{
          type: 'object',
          required: ['host', 'project', 'address', 'version', 'components', 'labels', 'since'],
        },
        properties: {
          ...{ host: text, project: text, address: text, version: text, components: texts, since: time },
          labels: { type: 'object', additionalProperties: text },
        },
      },
    },
  },
} as const;

const named = { type: 'string', minLength: 1, maxLength: 63 } as const;
const components = {
  ...{ type: 'array', items: named, maxItems: 500 },
  description: 'Empty or absent: all',
} as const;
const note = { type: 'string', maxLength: 1_000, description: 'Why, for the history' } as const;
const pull = { type: 'boolean', description: 'Pull even an image that is there' } as const;
const to = { type: 'integer', minimum: 1, description: 'The release to go to' } as const;
const closed = { type: 'object', additionalProperties: false } as const;

/** Bodies of one component, and of several. */
export const UpdateOne = { ...closed, properties: { note, pull } } as const;
export const UpdateMany = { ...closed, properties: { components, note, pull } } as const;
export const RollbackOne = { ...closed, properties: { to } } as const;
export const Many = { ...closed, properties: { components } } as const;
/** How many, in a body and in an answer. */
const total = {
  ...{ type: 'object', required: ['total'], additionalProperties: false },
  properties: { total: { type: 'integer', minimum: 0, maximum: MAX_INSTANCES } },
} as const;
const perHost = { type: 'integer', minimum: 0, maximum: MAX_INSTANCES } as const;
const instances = {
  anyOf: [perHost, total, { const: 'config' }],
  description:
    'So many on each host, `{"total": N}` on all of them together, or `config`: what the config says',
} as const;

export const ScaleOne = { ...closed, required: ['instances'], properties: { instances } } as const;
export const ScaleMany = {
  ...{ ...closed, required: ['changes'] },
  properties: {
    changes: {
      ...{ type: 'object', minProperties: 1, maxProperties: 500, additionalProperties: instances },
      description: 'By component',
    },
  },
} as const;

export const Scales = {
  ...Changes,
  properties: {
    ...Changes.properties,
    components: {
      type: 'array',
      items: {
        ...{ ...changed, required: [...changed.required, 'instances', 'number'] },
        properties: { ...changed.properties, instances: { anyOf: [perHost, total] }, number: count },
      },
    },
  },
} as const;

export const Nothing = { ...closed, properties: {} } as const;
