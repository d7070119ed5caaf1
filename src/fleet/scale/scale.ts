/**
 * What an operator asks of a component's number: one value, compared with what it was decided from. No release is
 * made, so nothing is replaced. What hosts do about it is in scaling.ts and shares.ts.
 */
import { randomUUID } from 'node:crypto';
import { instancesOf, instancesWords, refuseScale, type ScaleTo, sameInstances } from '../../agent/scale.ts';
import {
  FORMAT,
  type Instances,
  type ReleaseValue,
  readRelease,
  type ScaleValue,
} from '../../cluster/values.ts';
import { GantryError } from '../../errors.ts';
import { audited } from '../intents/audited.ts';
import {
  chosen,
  type Fleet,
  knownNames,
  lookAtProject,
  type ProjectLook,
  projectUnknown,
  statusesOf,
} from '../intents/look.ts';
import { type Change, carryOut, type Step } from '../intents/transact.ts';

export type { ScaleTo } from '../../agent/scale.ts';

export interface ScaleAsked {
  readonly project: string;
  /** By component. */
  readonly changes: Readonly<Record<string, ScaleTo>>;
  /** `user@machine`. */
  readonly by: string;
  /** Also what was never deployed: it holds from its first release on. Default: that is refused. */
  readonly mayBeUndeployed?: boolean;
}

export interface Scaled extends Change {
  readonly instances: Instances;
  /** Of the scale that asks for it. */
  readonly number: number;
}

/**
 * Asks for other numbers of the same. usage for a number that cannot be, component-unknown, project-unknown,
 * release-unknown for what was never deployed, superseded.
 */
export function scale(fleet: Fleet, asked: ScaleAsked): Promise<readonly Scaled[]> {
  const id = randomUUID();
  const names = Object.keys(asked.changes);
  for (const [name, to] of Object.entries(asked.changes)) refuseScale(name, to, undefined);
  return carryOut<Scaled>(fleet, async (done) => {
    const look = await lookAtProject(fleet, asked.project);
    const known = knownNames(look, []);
    if (known.length === 0) throw projectUnknown(look);
    chosen(names, known, asked.project);
    const left = names.filter((name) => !done.has(name));
    return Promise.all(left.map((name) => scaleStep(fleet, asked, id, look, name)));
  });
}

async function scaleStep(
  fleet: Fleet,
  asked: ScaleAsked,
  id: string,
  look: ProjectLook,
  name: string,
): Promise<Step<Scaled>> {
  const to = asked.changes[name] ?? 'config';
  const keys = fleet.keys.project(asked.project);
  const desired = look.desired.get(name);
  const { value: before, modRevision } = look.scales.get(name) ?? { value: undefined, modRevision: 0 };
  const release = desired?.value?.release ?? 0;
  const [made, statuses] = await Promise.all([
    release === 0 ? undefined : fleet.store.get(keys.release(name, release)).then(readRelease),
    statusesOf(fleet, asked.project, name),
  ]);
  const instances = numberOf(asked, name, to, made);
  const generation = desired?.value?.generation ?? 0;
  // One that the present rollout has ended may have been followed by hosts that are away now.
  const ended = look.rollouts.get(name)?.value?.ended?.number ?? 0;
  const followed = [...statuses.map((s) => s.size?.scale ?? 0), ended];
  const result = { component: name, release, generation, instances, changed: true };
  const isThere = before !== undefined && sameInstances(before.instances, instances);
  const isConfig = to === 'config';
  const isSo = isThere && (before.config === true) === isConfig && Math.max(0, ...followed) <= before.number;
  if (before !== undefined && (before.id === id || isSo)) {
    const changed = before.id === id;
    return { result: { ...result, number: before.number, changed }, conditions: [], writes: [] };
  }
  const value: ScaleValue = {
    ...{ format: FORMAT, instances, number: Math.max(before?.number ?? 0, ...followed) + 1 },
    ...(isConfig ? { config: true as const } : {}),
    ...{ by: asked.by, at: new Date(fleet.now()).toISOString(), id },
  };
  return {
    result: { ...result, number: value.number },
    conditions: [
      { key: keys.scale(name), modRevision },
      { key: keys.desired(name), modRevision: desired?.modRevision ?? 0 },
    ],
    writes: [
      { kind: 'put', key: keys.scale(name), value: JSON.stringify(value) },
      audited(fleet, {
        ...asked,
        id,
        action: 'scale',
        component: name,
        detail: detailOf(instances, isConfig),
      }),
    ],
  };
}

/** What the words come to for this component. */
function numberOf(
  { project, mayBeUndeployed }: ScaleAsked,
  name: string,
  to: ScaleTo,
  release: ReleaseValue | undefined,
): Instances {
  if (release === undefined && (to === 'config' || mayBeUndeployed !== true)) {
    throw new GantryError('release-unknown', `${name} was never deployed, so there is nothing to scale`, {
      hint: `gantryd update ${project} -c ${name} deploys it, with the number that its config says.`,
    });
  }
  if (release === undefined || to === 'config') return to === 'config' ? ownOf(release) : to;
  refuseScale(name, to, release.spec);
  return to;
}

function ownOf(release: ReleaseValue | undefined): Instances {
  return release === undefined ? 1 : instancesOf(release.spec);
}

function detailOf(instances: Instances, isConfig: boolean): string {
  return `${instancesWords(instances)}${isConfig ? ', as the config says' : ''}`;
}
