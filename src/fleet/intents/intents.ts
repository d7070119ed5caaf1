/**
 * What operators ask of a fleet: `update`, `rollback`, `stop` and `kill`, as transactions. Each raises the generation
 * above all that etcd and any live host knows, compares what it was decided from, and is given once even when etcd's
 * answer is lost. What hosts do about it is not decided here.
 */
import { randomUUID } from 'node:crypto';
import type { ProjectKeys } from '../../cluster/keys.ts';
import type { Condition, Write } from '../../cluster/store.ts';
import {
  type DesiredValue,
  FORMAT,
  type ReleaseValue,
  type RequiredLink,
  type RolloutValue,
} from '../../cluster/values.ts';
import type { Component, Project } from '../../config/project.ts';
import { GantryError } from '../../errors.ts';
import { nextGeneration, nextRelease, overdue, returnTo, rollbackTo } from '../releases.ts';
import { askedAgainBy, endedBy, endsAScale } from '../scale/ended-scale.ts';
import { audited } from './audited.ts';
import { exportersOf, type LinkOrder, linkOrder } from './link-order.ts';
import {
  allStatusesOf,
  type ComponentLook,
  type ConfiguredLook,
  chosen,
  configuredNames,
  type Fleet,
  isUnfinished,
  knownNames,
  lookAtComponent,
  lookAtConfigured,
  lookAtProject,
  type ProjectLook,
  projectUnknown,
} from './look.ts';
import { type Change, carryOut, type Step } from './transact.ts';

export interface Asked {
  readonly project: string;
  /** []: all. */
  readonly components: readonly string[];
  /** `user@machine`. */
  readonly by: string;
}

export type ImageOfRelease = ReleaseValue['image'];

export interface UpdateAsked extends Asked {
  readonly note?: string;
  /** Finds, or pulls, a component's image; asked once for each image name. */
  readonly resolve: (component: Component) => Promise<ImageOfRelease>;
}

export interface Updated extends Change {
  readonly image: ImageOfRelease;
}

export interface Updates {
  readonly changes: readonly Updated[];
  readonly warnings: readonly string[];
}

/**
 * Makes a release of each component and starts its rollout. project-unknown, component-unknown, link-unavailable,
 * superseded, and what `resolve` throws.
 */
export async function update(fleet: Fleet, asked: UpdateAsked): Promise<Updates> {
  const id = randomUUID();
  const resolve = once(asked.resolve);
  const first = await lookAtConfigured(fleet, asked.project);
  for (const component of componentsOf(asked, first.project)) await resolve(component);
  let warnings: readonly string[] = [];
  const changes = await carryOut<Updated>(fleet, async (done, lost) => {
    const look = await lookAtConfigured(fleet, asked.project);
    const names = componentsOf(asked, look.project).map((c) => c.name);
    const links = linkOrder(names, look.project.components);
    const steps: Step<Updated>[] = [];
    const found = [...links.warnings];
    for (const component of inOrder(links, look.project)) {
      if (done.has(component.name)) continue;
      const before = new Map([...done, ...steps.map((s) => [s.result.component, s.result] as const)]);
      const image = await resolve(component);
      const at = await lookAtComponent(fleet, look, component.name);
      const { rollouts: after, warnings } = waitsFor(component, look, links, before);
      found.push(...warnings);
      const shared = { fleet, asked, id, look, lost: lost.get(component.name) };
      steps.push(updateStep({ ...shared, component, image, at, after }));
    }
    warnings = found;
    return steps;
  });
  return { changes, warnings };
}

/** What an update of one component is decided from. */
export interface UpdateInput {
  readonly fleet: Fleet;
  readonly asked: Omit<UpdateAsked, 'resolve'>;
  readonly id: string;
  readonly look: ConfiguredLook;
  readonly component: Component;
  readonly image: ImageOfRelease;
  readonly at: ComponentLook;
  readonly after: RolloutValue['after'];
  readonly lost: Change | undefined;
}

/** Pure, but for the time: what one look calls for. */
export function updateStep(input: UpdateInput): Step<Updated> {
  const { fleet, asked, id, look, component, image, at, after, lost } = input;
  const own = [...at.releases.values()].find((r) => r?.id === id);
  if (own !== undefined) return madeBefore(at, own, lost);
  const keys = fleet.keys.project(asked.project);
  const { name } = component;
  const [number, generation, from] = [nextRelease(at), nextGeneration(at), returnTo(at)];
  const ended = endedBy(at, component);
  const made = { format: FORMAT, by: asked.by, at: iso(fleet) } as const;
  const release: ReleaseValue = {
    ...made,
    ...{ number, image, spec: component, requires: requiredLinks(component, look.project), id },
    limits: look.project.limits,
    ...(asked.note === undefined ? {} : { note: asked.note }),
  };
  const rollout: RolloutValue = {
    ...made,
    ...{ generation, release: number, from, after, kind: 'update', state: 'preparing', attempt: 1 },
    ...(ended === undefined ? {} : { ended }),
  };
  return {
    result: { component: name, release: number, generation, changed: true, image },
    conditions: [
      { key: keys.config, modRevision: look.config.modRevision },
      ...unchanged(keys, at),
      { key: keys.release(name, number), modRevision: 0 },
      { key: keys.scale(name), modRevision: at.scale.modRevision },
    ],
    writes: [
      put(keys.release(name, number), release),
      put(keys.rollout(name), rollout),
      put(keys.desired(name), { ...made, status: 'ready', release: number, generation, id }),
      ...(endsAScale(at, component) ? [{ kind: 'delete', key: keys.scale(name) } as const] : []),
      ...overdue(at, { from, made: number }).flatMap((n) => [
        { kind: 'delete', key: keys.release(name, n) } as const,
        { kind: 'delete', key: keys.outcome(name, n) } as const,
      ]),
      audited(fleet, {
        ...asked,
        id,
        action: 'update',
        component: name,
        detail: `release ${number}, image ${image.name}`,
      }),
    ],
  };
}

/** This command's own write, which it had not heard of. Another may have come after it. */
function madeBefore(at: ComponentLook, own: ReleaseValue, lost: Change | undefined): Step<Updated> {
  const { number, image } = own;
  const generation = lost?.generation ?? at.rollout.value?.generation ?? 0;
  const result = { component: at.name, release: number, generation, changed: true, image };
  return { result, conditions: [], writes: [] };
}

/**
 * The rollouts that must be done before this one switches: of exporters in this command, and of those that are still
 * on their way, unless they wait for this one.
 */
function waitsFor(
  component: Component,
  look: ConfiguredLook,
  links: LinkOrder,
  before: ReadonlyMap<string, Change>,
): { readonly rollouts: RolloutValue['after']; readonly warnings: readonly string[] } {
  const together = links.after.get(component.name) ?? [];
  const rollouts = together.flatMap((name) => {
    const change = before.get(name);
    return change === undefined ? [] : [{ component: name, generation: change.generation }];
  });
  const warnings: string[] = [];
  for (const name of exportersOf(component, look.project.components)) {
    const rollout = look.rollouts.get(name)?.value;
    if (links.after.has(name) || !isUnfinished(rollout)) continue;
    if (leadsTo(name, component.name, look)) {
      warnings.push(
        `The rollout of ${name} waits for ${component.name}, which therefore does not wait for it`,
      );
    } else rollouts.push({ component: name, generation: rollout.generation });
  }
  return { rollouts, warnings };
}

/** Whether the unfinished rollout of `from` waits for `to`, through others too. */
function leadsTo(from: string, to: string, look: ProjectLook, seen = new Set<string>()): boolean {
  if (seen.has(from)) return false;
  seen.add(from);
  const rollout = look.rollouts.get(from)?.value;
  if (!isUnfinished(rollout)) return false;
  return rollout.after.some(({ component }) => component === to || leadsTo(component, to, look, seen));
}

/** To release `to`, or to the one before; release-unknown with those that there are. */
export function rollback(fleet: Fleet, asked: Asked & { readonly to?: number }): Promise<readonly Change[]> {
  const id = randomUUID();
  return carryOut(fleet, async (done, lost) => {
    const look = await lookAtProject(fleet, asked.project);
    if (look.config.value === undefined) throw projectUnknown(look);
    const steps: Step[] = [];
    // A release holds all it needs: also with a config that cannot be used there is a way back.
    for (const name of chosen(asked.components, configuredNames(look), asked.project)) {
      if (done.has(name)) continue;
      const at = await lookAtComponent(fleet, look, name);
      const own = recognised(at, id, lost.get(name));
      const target = rollbackTo(at, asked.to);
      if (own !== undefined) steps.push(own);
      else if (target !== undefined) steps.push(rollbackStep(fleet, asked, id, at, target));
      else if (asked.components.length > 0) throw releaseUnknown(at, asked);
    }
    if (steps.length === 0 && done.size === 0) throw nothingToReturnTo(asked);
    return steps;
  });
}

/** As updateStep. */
export function rollbackStep(fleet: Fleet, asked: Asked, id: string, at: ComponentLook, to: number): Step {
  const desired = at.desired.value;
  const ready = desired?.status === 'ready';
  const behind = desired === undefined || nextGeneration(at) > desired.generation + 1;
  if (ready && desired.release === to && !behind) return already(at, desired);
  const generation = nextGeneration(at);
  const from = ready ? desired.release : 0;
  const made = { format: FORMAT, release: to, generation, by: asked.by, at: iso(fleet) } as const;
  const rollout: RolloutValue = {
    ...made,
    ...{ from, kind: 'rollback', state: 'running', attempt: 1, after: [] },
  };
  const keys = fleet.keys.project(asked.project);
  const again = askedAgainBy(keys, at, to);
  return {
    result: { component: at.name, release: to, generation, changed: true },
    conditions: [...unchanged(keys, at), ...again.conditions],
    writes: [
      ...again.writes,
      put(keys.rollout(at.name), rollout),
      put(keys.desired(at.name), { ...made, status: 'ready', id }),
      audited(fleet, { ...asked, id, action: 'rollback', component: at.name, detail: `to release ${to}` }),
    ],
  };
}

/** Stops or kills everywhere; the release is kept. Also what the config does not have any more. */
export function setStatus(
  fleet: Fleet,
  asked: Asked & { readonly status: 'stopped' | 'killed' },
): Promise<readonly Change[]> {
  const id = randomUUID();
  return carryOut(fleet, async (done, lost) => {
    const look = await lookAtProject(fleet, asked.project);
    const statuses = await allStatusesOf(fleet, asked.project);
    const known = knownNames(look, statuses.keys());
    if (known.length === 0) throw projectUnknown(look);
    const steps: Step[] = [];
    for (const name of chosen(asked.components, known, asked.project)) {
      if (done.has(name)) continue;
      const at = await lookAtComponent(fleet, look, name, statuses.get(name) ?? []);
      steps.push(recognised(at, id, lost.get(name)) ?? statusStep(fleet, asked, id, at));
    }
    return steps;
  });
}

/** As updateStep. */
export function statusStep(
  fleet: Fleet,
  asked: Asked & { readonly status: 'stopped' | 'killed' },
  id: string,
  at: ComponentLook,
): Step {
  const desired = at.desired.value;
  const serving = Math.max(0, ...at.statuses.map((s) => s.serving));
  const release = desired?.release ?? serving;
  const isKnown = at.statuses.some((s) => s.containers.length > 0);
  if (at.desired.modRevision === 0 && !isKnown) return already(at, { release: 0, generation: 0 });
  const behind = desired === undefined || nextGeneration(at) > desired.generation + 1;
  if (desired?.status === asked.status && !behind) return already(at, desired);
  const keys = fleet.keys.project(asked.project);
  const generation = nextGeneration(at);
  const made = { format: FORMAT, by: asked.by, at: iso(fleet) } as const;
  const rollout = at.rollout.value;
  const reason = `${asked.by} asked for it to be ${asked.status}`;
  const ended = isUnfinished(rollout)
    ? [put(keys.rollout(at.name), { ...rollout, state: 'superseded', endedAt: made.at, reason })]
    : [];
  return {
    result: { component: at.name, release, generation, changed: true },
    conditions: unchanged(keys, at),
    writes: [
      put(keys.desired(at.name), { ...made, status: asked.status, release, generation, id }),
      ...ended,
      audited(fleet, { ...asked, id, action: VERBS[asked.status], component: at.name }),
    ],
  };
}

/** The write of a command that had no answer, or why it must not be given again; undefined: it was not written. */
function recognised(at: ComponentLook, id: string, lost: Change | undefined): Step | undefined {
  const desired = at.desired.value;
  if (desired?.id === id) return { ...already(at, desired, true) };
  if (lost === undefined || (desired?.generation ?? 0) <= lost.generation) return undefined;
  throw new GantryError('superseded', `${desired?.by} changed ${at.name} while etcd did not answer`, {
    hint: 'Whether this command came first is not known; `gantryd list` shows how it is.',
  });
}

function already(
  { name }: ComponentLook,
  { release, generation }: Pick<DesiredValue, 'release' | 'generation'>,
  changed = false,
): Step {
  return { result: { component: name, release, generation, changed }, conditions: [], writes: [] };
}

function unchanged(keys: ProjectKeys, { name, desired, rollout }: ComponentLook): readonly Condition[] {
  return [
    { key: keys.desired(name), modRevision: desired.modRevision },
    { key: keys.rollout(name), modRevision: rollout.modRevision },
  ];
}

function componentsOf(asked: Asked, project: Project): readonly Component[] {
  const all = project.components.map((c) => c.name);
  const names = chosen(asked.components, all, asked.project);
  return project.components.filter((c) => names.includes(c.name));
}

function inOrder({ order }: LinkOrder, { components }: Project): readonly Component[] {
  return order.flatMap((name) => components.find((c) => c.name === name) ?? []);
}

/** What a host must know of links to serve them, even when the config has changed since. */
function requiredLinks(
  { name: importer, requiresLinks }: Component,
  project: Project,
): readonly RequiredLink[] {
  return requiresLinks.map(({ name, alias }) => {
    for (const { name: exporter, definesLinks } of project.components) {
      const link = definesLinks.find((l) => l.name === name);
      if (link !== undefined) return { name, alias, exporter, kind: link.kind, containerPort: link.port };
    }
    const message = `${importer} needs the link ${name}, which no component of ${project.name} defines`;
    throw new GantryError('link-unavailable', message);
  });
}

function releaseUnknown(
  { name, releases, desired }: ComponentLook,
  asked: Asked & { to?: number },
): GantryError {
  const numbers = [...releases.keys()];
  const now = desired.value === undefined ? '' : ` before release ${desired.value.release}`;
  const message =
    asked.to === undefined
      ? `No release of ${name}${now} has served everywhere`
      : `${name} has no release ${asked.to}`;
  const hint = numbers.length === 0 ? 'It has none: update makes one.' : `It has: ${numbers.join(', ')}.`;
  return new GantryError('release-unknown', message, { hint: `${hint} --to chooses one.` });
}

function nothingToReturnTo({ project }: Asked): GantryError {
  return new GantryError('release-unknown', `No component of ${project} has a release to return to`, {
    hint: 'A release can be returned to once it has served on every host.',
  });
}

/** Components often share an image. */
function once(resolve: (component: Component) => Promise<ImageOfRelease>) {
  const known = new Map<string, ImageOfRelease>();
  return async (component: Component) => {
    const key = `${component.image} ${component.registryAuth ?? ''}`;
    const image = known.get(key) ?? (await resolve(component));
    known.set(key, image);
    return image;
  };
}

const VERBS = { stopped: 'stop', killed: 'kill' } as const;

function iso({ now }: Fleet): string {
  return new Date(now()).toISOString();
}

function put(key: string, value: DesiredValue | RolloutValue | ReleaseValue): Write {
  return { kind: 'put', key, value: JSON.stringify(value) };
}
