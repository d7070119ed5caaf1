/** What happened and who asked for what: listed, and followed as server-sent events. */
import { NAME } from '../../config/name.ts';
import { GantryError } from '../../errors.ts';
import { type Asking, listTold, refuseUnknown, rowOf } from '../../fleet/events/told.ts';
import type { ApiAround } from '../around.ts';
import type { Call, Caller, Reply, Route } from '../route.ts';
import { EventHub } from './event-hub.ts';
import { stream } from './event-stream.ts';

const MAX_LISTED = 1_000;
const DEFAULT_LISTED = 100;
const ID = '^\\d{15}-[^\\s/]{1,300}$';

const text = { type: 'string' } as const;
const common = {
  id: { ...text, description: 'In the order of time' },
  at: { ...text, format: 'date-time' },
} as const;
const Event = {
  type: 'object',
  description: 'Something that happened on a host',
  required: ['id', 'at', 'host', 'component', 'kind', 'text', 'event'],
  properties: {
    ...common,
    host: text,
    component: { ...text, description: 'Empty: of none' },
    kind: text,
    text: { ...text, description: 'As a sentence' },
    event: { type: 'object', description: 'As gantryd run --json tells it, without what is long' },
  },
} as const;
const Asked = {
  type: 'object',
  description: 'Somebody asked for something',
  required: ['id', 'at', 'kind', 'by', 'action', 'on', 'detail'],
  properties: {
    ...common,
    kind: { const: 'asked' },
    by: text,
    action: text,
    on: { type: 'array', items: text },
    detail: text,
  },
} as const;

const component = { ...text, pattern: NAME, description: 'Only of this component' } as const;

export function eventRoutes(around: ApiAround): readonly Route[] {
  const hubs = new Hubs(around);
  const of = { method: 'GET', access: 'read', tag: 'events' } as const;
  return [
    {
      ...{ ...of, path: '/v1/projects/:project/events', summary: 'What happened, the oldest first' },
      query: {
        component,
        since: { ...text, format: 'date-time', description: 'Only what is newer' },
        limit: {
          ...{ type: 'integer', minimum: 1, maximum: MAX_LISTED, default: DEFAULT_LISTED },
          description: 'The newest so many',
        },
        audit: { type: 'boolean', description: 'Also who asked for what' },
      },
      answer: {
        status: 200,
        schema: {
          type: 'object',
          required: ['events'],
          properties: { events: { type: 'array', items: { anyOf: [Event, Asked] } } },
        },
      },
      handle: (call) => list(around, call),
    },
    {
      ...{ ...of, path: '/v1/events', summary: 'What happens, as it comes: server-sent events' },
      query: {
        project: { ...text, pattern: NAME, description: 'Default: that of the agent' },
        component,
        after: { ...text, pattern: ID, description: 'As the header Last-Event-ID: what came after this one' },
      },
      answer: 'text/event-stream',
      handle: (call) => follow(around, hubs, call),
    },
  ];
}

async function list(around: ApiAround, { params, query, caller }: Call): Promise<Reply> {
  const { since, audit = false, limit = DEFAULT_LISTED } = query;
  const components = typeof query.component === 'string' ? [query.component] : [];
  const asking: Asking = {
    ...{ project: params.project ?? '', components, audit: audit === true },
    since: typeof since === 'string' ? timeOf(since) : undefined,
    // They are of all projects.
    tokens: components.length === 0 && caller.role === 'admin' && caller.projects.length === 0,
  };
  await refuseUnknown(around, asking.project);
  const told = await listTold(around.store, around.keys, asking);
  return { status: 200, body: { events: told.slice(-Number(limit)).map(rowOf) } };
}

async function follow(around: ApiAround, hubs: Hubs, call: Call): Promise<undefined> {
  const { request, response, query, caller, signal } = call;
  const project = String(query.project ?? around.project ?? '');
  if (project === '') throw new GantryError('usage', 'Say whose events: ?project=NAME');
  refuseOther(caller, project);
  const { 'last-event-id': last } = request.headers;
  const behind = last ?? query.after;
  await hubs.with(project, (hub) =>
    stream(
      {
        hub,
        behind: typeof behind === 'string' ? behind : undefined,
        component: typeof query.component === 'string' ? query.component : undefined,
      },
      response,
      signal,
    ),
  );
  return undefined;
}

/** One for each project that somebody follows. */
class Hubs {
  readonly #around: ApiAround;
  readonly #open = new Map<string, { readonly hub: EventHub; followers: number }>();
  #followers = 0;

  constructor(around: ApiAround) {
    this.#around = around;
  }

  async with(project: string, body: (hub: EventHub) => Promise<void>): Promise<void> {
    const { store, keys } = this.#around;
    const open = this.#open.get(project) ?? { hub: new EventHub(store, keys.project(project)), followers: 0 };
    this.#open.set(project, open);
    open.followers++;
    this.#following(1);
    try {
      await body(open.hub);
    } finally {
      this.#following(-1);
      if (--open.followers === 0) {
        this.#open.delete(project);
        open.hub.close();
      }
    }
  }

  #following(more: number): void {
    this.#followers += more;
    this.#around.metrics?.set('gantryd_api_event_followers', {}, this.#followers);
  }
}

function refuseOther({ projects, by }: Caller, project: string): void {
  if (projects.length === 0 || projects.includes(project)) return;
  throw new GantryError('forbidden', `${by} is not for the project ${project}`, {
    hint: `It is for: ${projects.join(', ')}.`,
  });
}

function timeOf(given: string): number {
  const at = Date.parse(given);
  if (!Number.isNaN(at)) return at;
  throw new GantryError('usage', `${JSON.stringify(given)} is no time`, { hint: 'As 2030-01-31T12:00:00Z.' });
}
