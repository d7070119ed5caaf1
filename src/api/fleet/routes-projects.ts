/** Projects, their config and the hosts. A config has an ETag, its revision, and a write may be for that one alone. */
import { type HostValue, readHost } from '../../cluster/values.ts';
import { parseStored } from '../../config/parse.ts';
import type { StoredProject } from '../../config/stored.ts';
import { GantryError } from '../../errors.ts';
import { lookAtProject, projectUnknown } from '../../fleet/intents/look.ts';
import { type Expected, setConfig } from '../../fleet/intents/stored-config.ts';
import { projectNames } from '../../fleet/projects.ts';
import type { ApiAround } from '../around.ts';
import type { Wrong } from '../problem.ts';
import type { Call, Caller, Reply, Route } from '../route.ts';
import { Config, ConfigSet, Hosts, Projects } from './schemas.ts';

const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
/** RFC 9110, 8.8.3. */
const ETAG = /(?:W\/)?"[^"]*"/g;
const ETAGS = /^(?:W\/)?"[^"]*"(?:[ \t]*,[ \t]*(?:W\/)?"[^"]*")*$/;
const OURS = /^"([1-9]\d{0,14})"$/;
/** Of those that are named. */
const MAX_TAGS = 100;

export function projectRoutes(around: ApiAround): readonly Route[] {
  const read = { method: 'GET', access: 'read' } as const;
  const config = { path: '/v1/projects/:project/config', tag: 'projects' } as const;
  return [
    {
      ...{ ...read, path: '/v1/projects', tag: 'projects', summary: 'The names of the projects' },
      answer: { status: 200, schema: Projects },
      handle: ({ caller }) => listProjects(around, caller),
    },
    {
      ...{ ...read, ...config, summary: 'The stored project file; its ETag is its revision' },
      answer: { status: 200, schema: Config },
      handle: (call) => readConfig(around, call),
    },
    {
      ...{ ...config, method: 'PUT', access: 'deploy' },
      summary: 'Store the project file; nothing that runs changes. If-Match makes it conditional',
      body: {
        schema: { type: 'object', description: 'A project file, as docs/config.md describes it' },
        maxBytes: MAX_CONFIG_BYTES,
      },
      answer: { status: 200, schema: ConfigSet },
      handle: (call) => writeConfig(around, call),
    },
    {
      ...{ ...read, path: '/v1/hosts', tag: 'hosts', summary: 'The agents that run now, for each project' },
      answer: { status: 200, schema: Hosts },
      handle: ({ caller }) => listHosts(around, caller),
    },
  ];
}

async function listProjects(around: ApiAround, caller: Caller): Promise<Reply> {
  const projects = (await projectNames(around)).filter((name) => mayKnow(caller, name));
  return { status: 200, body: { projects } };
}

async function listHosts({ store, keys }: ApiAround, caller: Caller): Promise<Reply> {
  const { entries } = await store.list(keys.hosts());
  const hosts = entries.flatMap((entry) => readHost(entry) ?? []).filter((h) => mayKnow(caller, h.project));
  return { status: 200, body: { hosts: hosts.map(hostRow) } };
}

function hostRow({ host, project, address, version, components, labels, since }: HostValue) {
  return { host, project, address, version, components, labels, since };
}

function mayKnow({ projects }: Caller, name: string): boolean {
  return projects.length === 0 || projects.includes(name);
}

async function readConfig(around: ApiAround, { params }: Call): Promise<Reply> {
  const look = await lookAtProject(around, params.project ?? '');
  if (look.config.value === undefined) throw projectUnknown(look);
  const { project, file, by, at } = look.config.value;
  return { status: 200, headers: etag(look.config.modRevision), body: { project, file, by, at } };
}

async function writeConfig(around: ApiAround, { request, params, body, caller }: Call): Promise<Reply> {
  const project = params.project ?? '';
  const file = storedOf(body, project);
  const expected = expectedOf(request.headers);
  const asked = { project, file, by: caller.by };
  const changed = await setConfig(around, expected === undefined ? asked : { ...asked, expected });
  const { config } = await lookAtProject(around, project);
  // Somebody may have set another one since.
  const isOurs = JSON.stringify(config.value?.file) === JSON.stringify(file);
  return { status: 200, headers: isOurs ? etag(config.modRevision) : {}, body: { project, changed } };
}

function etag(revision: number): Readonly<Record<string, string>> {
  return { etag: `"${revision}"` };
}

/** undefined: the write is for whatever is there. */
function expectedOf(headers: Call['request']['headers']): Expected | undefined {
  const { 'if-match': match, 'if-none-match': none } = headers;
  if (match === undefined && none === undefined) return undefined;
  if (match === undefined && none === '*') return 0;
  if (none === undefined && match === '*') return 'any';
  const tags = none === undefined && ETAGS.test(match ?? '') ? (match ?? '').match(ETAG) : null;
  if (tags !== null) return tags.flatMap(revisionIn).slice(0, MAX_TAGS);
  throw new GantryError('usage', 'If-Match takes ETags of a config, or *, and If-None-Match takes *', {
    hint: 'As If-Match: "17".',
  });
}

/** None of a weak one, or of one that was never ours: If-Match compares strongly (RFC 9110, 13.1.1). */
function revisionIn(tag: string): readonly number[] {
  const [, revision] = OURS.exec(tag) ?? [];
  return revision === undefined ? [] : [Number(revision)];
}

/** Throws config-invalid with all problems. */
function storedOf(body: unknown, project: string): StoredProject {
  const result = parseStored(body, project);
  const problems = 'problems' in result ? result.problems : relativePaths(body);
  if ('stored' in result && problems.length === 0) return result.stored;
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  throw new GantryError('config-invalid', `the config of ${project} has ${count}`, {
    hint: 'Every field is described in docs/config.md.',
    cause: problems,
  });
}

/** A file that was read has a folder that they count from; what is sent has none. */
function relativePaths(body: unknown): readonly Wrong[] {
  const { components } = body as { readonly components: readonly { readonly registryAuth?: string }[] };
  return components.flatMap(({ registryAuth }, index) =>
    registryAuth === undefined || registryAuth.startsWith('/')
      ? []
      : [{ pointer: `/components/${index}/registryAuth`, message: 'must be an absolute path' }],
  );
}
