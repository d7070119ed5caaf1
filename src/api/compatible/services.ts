/**
 * What the service connector did, with a fleet: a service is a component of the project `services`, which has a total of
 * containers on all hosts. It is deployed with the first scale that asks for any.
 */

import { untilWritten } from '../../cluster/until.ts';
import { parseStored } from '../../config/parse.ts';
import { isRecord } from '../../config/problems.ts';
import type { StoredProject } from '../../config/stored.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import { update } from '../../fleet/intents/intents.ts';
import { hostsOf, lookAtProject, statusesOf } from '../../fleet/intents/look.ts';
import { setConfig } from '../../fleet/intents/stored-config.ts';
import { scale } from '../../fleet/scale/scale.ts';
import type { ApiAround } from '../around.ts';
import { resolving } from '../fleet/image-here.ts';
import { documentInvalid } from '../jobs/job-documents.ts';
import { componentOf, type Definition, definitionIn, type RawComponent } from './service-definition.ts';

export const PROJECT = 'services';
/** For as many containers as were asked for: who asks waits that long. */
const SCALE_MS = 60_000;
/** States of containers that do what they are there for: not of those that may yet fail, nor of those that are to go. */
const RUNNING: ReadonlySet<string> = new Set(['ready', 'serving']);
/** Others may define services at the same time. */
const TRIES = 10;

export interface Asking {
  readonly by: string;
  readonly signal: AbortSignal;
}

/** By name, as they were defined. */
export async function definitions(around: ApiAround): Promise<ReadonlyMap<string, Definition>> {
  const { components } = await configured(around);
  const found = components.flatMap((component) => definitionIn(component) ?? []);
  return new Map(found.map((definition) => [definition.name, definition]));
}

/** Creates or replaces it; one that is deployed gets a release of it. config-invalid, and what an update throws. */
export async function define(around: ApiAround, definition: Definition, asking: Asking): Promise<void> {
  const changed = await write(around, definition, asking);
  if (changed && (await isDeployed(around, definition.name))) await deploy(around, definition.name, asking);
}

/** Answers once as many run. no-hosts, wait-over, and what an update throws. */
export async function scaleService(
  around: ApiAround,
  name: string,
  total: number,
  asking: Asking,
): Promise<void> {
  const deployed = await isDeployed(around, name);
  if (!deployed && total === 0) return;
  if ((await hostsOf(around, PROJECT)).length === 0) throw noHosts();
  const changes = { [name]: { total } };
  await scale(around, { project: PROJECT, changes, by: asking.by, mayBeUndeployed: true });
  if (!deployed) await deploy(around, name, asking);
  const isDone = (count: number) => count === total;
  const count = await untilWritten(around.store, {
    ...{ range: around.keys.project(PROJECT).statuses(name), waitMs: SCALE_MS, signal: asking.signal },
    ...{ look: () => runningOf(around, name), isDone },
  });
  if (isDone(count)) return;
  throw new GantryError('wait-over', `${count} of ${total} containers of ${name} run by now`, {
    hint: `It goes on; gantryd why ${PROJECT} ${name} tells what it waits for.`,
  });
}

/** Containers that run and are not to go, on all hosts. */
export async function runningOf(around: ApiAround, name: string): Promise<number> {
  const statuses = await statusesOf(around, PROJECT, name);
  const containers = statuses.flatMap((status) => status.containers);
  return containers.filter(({ state }) => RUNNING.has(state)).length;
}

interface Configured {
  readonly file: StoredProject;
  readonly components: readonly RawComponent[];
  readonly revision: number;
}

async function configured(around: ApiAround): Promise<Configured> {
  const { config } = await lookAtProject(around, PROJECT);
  const file = config.value?.file ?? {};
  const components = Array.isArray(file.components) ? file.components.filter(isRecord) : [];
  return { file, components, revision: config.modRevision };
}

/** Answers whether it is another one than before. */
async function write(around: ApiAround, definition: Definition, { by }: Asking): Promise<boolean> {
  for (let tries = 1; ; tries++) {
    const { file, components, revision } = await configured(around);
    const before = components.find(({ name }) => name === definition.name);
    const made = componentOf(definition, before);
    const others = components.map((one) => (one === before ? made : one));
    const next = { ...file, components: before === undefined ? [...components, made] : others };
    try {
      return await setConfig(around, { project: PROJECT, file: stored(next), by, expected: revision });
    } catch (error) {
      if (!isGantryError(error, 'config-changed') || tries >= TRIES) throw error;
    }
  }
}

function stored(file: StoredProject): StoredProject {
  const result = parseStored(file, PROJECT);
  if ('stored' in result) return result.stored;
  throw documentInvalid('the service', result.problems);
}

async function isDeployed(around: ApiAround, name: string): Promise<boolean> {
  const look = await lookAtProject(around, PROJECT);
  return look.desired.get(name)?.value?.status === 'ready';
}

async function deploy(around: ApiAround, name: string, { by, signal }: Asking): Promise<void> {
  const resolve = resolving(around, { project: PROJECT, pull: false, signal });
  await update(around, { project: PROJECT, components: [name], by, resolve });
}

function noHosts(): GantryError {
  return new GantryError('no-hosts', `no live host runs the project ${PROJECT}`, {
    hint: `Start an agent for it: gantryd run ${PROJECT}.`,
    retryable: true,
  });
}
