/** Components as they are wanted and as they are, their releases, and why they are as they are. Reads only. */
import { startingWith } from '../../cluster/store.ts';
import type { HostValue, ReleaseValue, StatusValue } from '../../cluster/values.ts';
import {
  allStatusesOf,
  hostsOf,
  knownNames,
  lookAtComponent,
  lookAtProject,
  type ProjectLook,
  projectLook,
  projectUnknown,
  statusesOf,
} from '../../fleet/intents/look.ts';
import { componentRow, historyRows, hostRows } from '../../fleet/reports/report.ts';
import { whyLines } from '../../fleet/reports/why.ts';
import { lookAtOne, releaseOf, whyInput } from '../../fleet/reports/why-look.ts';
import type { ApiAround } from '../around.ts';
import type { Call, Reply, Route } from '../route.ts';
import { Components, OneComponent, Releases, Why } from './schemas.ts';

/** `around`: what a question about a project is answered from. */
export function componentRoutes(around: (project: string) => ApiAround): readonly Route[] {
  const all = '/v1/projects/:project/components';
  const of = { method: 'GET', access: 'read', tag: 'components' } as const;
  const on = ({ params }: Call) => around(params.project ?? '');
  return [
    {
      ...{ ...of, path: all, summary: 'Each component of the project' },
      answer: { status: 200, schema: Components },
      handle: (call) => listComponents(on(call), call),
    },
    {
      ...{ ...of, path: `${all}/:component`, summary: 'One component, and how it is on each host' },
      answer: { status: 200, schema: OneComponent },
      handle: (call) => oneComponent(on(call), call),
    },
    {
      ...{ ...of, path: `${all}/:component/releases`, summary: 'Its releases and how they fared' },
      answer: { status: 200, schema: Releases },
      handle: (call) => releases(on(call), call),
    },
    {
      ...{ ...of, path: `${all}/:component/why`, summary: 'What it waits for, or what went wrong with it' },
      query: { host: { type: 'string', maxLength: 253, description: 'This host alone' } },
      answer: { status: 200, schema: Why },
      handle: (call) => why(on(call), call),
    },
  ];
}

async function listComponents(around: ApiAround, { params }: Call): Promise<Reply> {
  const project = params.project ?? '';
  const [look, statuses, hosts] = await Promise.all([
    lookAtProject(around, project),
    allStatusesOf(around, project),
    hostsOf(around, project),
  ]);
  const names = knownNames(look, statuses.keys());
  if (names.length === 0 && look.config.value === undefined) throw projectUnknown(look);
  const components = await Promise.all(
    names.map(async (name) => {
      const release = await releaseOf(around, project, name, look.desired.get(name)?.value?.release ?? 0);
      return rowOf(look, name, release, statuses.get(name) ?? [], hosts);
    }),
  );
  return { status: 200, body: { project, components } };
}

async function oneComponent(around: ApiAround, { params }: Call): Promise<Reply> {
  const { project = '', component = '' } = params;
  const [look, statuses, hosts] = await Promise.all([
    narrowLook(around, project, component),
    statusesOf(around, project, component),
    hostsOf(around, project),
  ]);
  const desired = look.desired.get(component)?.value;
  const release = await releaseOf(around, project, component, desired?.release ?? 0);
  return {
    status: 200,
    body: {
      project,
      ...rowOf(look, component, release, statuses, hosts),
      desired,
      rollout: look.rollouts.get(component)?.value,
      turns: look.turns.get(component) ?? [],
      on: hostRows(component, desired, statuses, hosts),
    },
  };
}

/** At the keys of the component alone; the rest of the project is asked for where that says nothing. */
async function narrowLook(around: ApiAround, project: string, component: string): Promise<ProjectLook> {
  const { store, keys } = around;
  const range = startingWith(keys.project(project).desired(component).slice(0, -'desired'.length));
  const look = projectLook(keys, project, (await store.list(range)).entries);
  if (look.desired.has(component)) return look;
  return (await lookAtOne(around, { project, component: [component] })).look;
}

function rowOf(
  look: ProjectLook,
  name: string,
  release: ReleaseValue | undefined,
  statuses: readonly StatusValue[],
  hosts: readonly HostValue[],
) {
  const desired = look.desired.get(name)?.value;
  const rows = hostRows(name, desired, statuses, hosts);
  return {
    ...componentRow(look, name, release),
    hosts: { live: rows.length, settled: rows.filter((row) => row.settled).length },
    containers: containersIn(statuses),
    connections: rows.reduce((sum, row) => sum + row.connections, 0),
  };
}

function containersIn(statuses: readonly StatusValue[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const { state } of statuses.flatMap((status) => status.containers))
    counts.set(state, (counts.get(state) ?? 0) + 1);
  return Object.fromEntries(counts);
}

async function releases(around: ApiAround, { params }: Call): Promise<Reply> {
  const { project = '', component = '' } = params;
  const { look } = await lookAtOne(around, { project, component: [component] });
  const rows = historyRows(await lookAtComponent(around, look, component, []));
  return { status: 200, body: { project, component, releases: rows } };
}

async function why(around: ApiAround, { params, query }: Call): Promise<Reply> {
  const { project = '', component = '' } = params;
  const host = typeof query.host === 'string' ? query.host : undefined;
  const input = await whyInput(around, { project, component: [component], host });
  const { desired, rollout, turns, statuses: hosts } = input;
  return {
    status: 200,
    body: { project, component, words: whyLines(input), desired, rollout, turns, hosts },
  };
}
