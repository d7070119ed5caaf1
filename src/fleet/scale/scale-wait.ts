/** Waits until as many containers serve as `scale` asked for. */
import { instancesWords } from '../../agent/scale.ts';
import { untilWritten } from '../../cluster/until.ts';
import {
  type DesiredValue,
  readShares,
  type ScaleValue,
  type SharesValue,
  type StatusValue,
} from '../../cluster/values.ts';
import { allStatusesOf, type Fleet, hostsOf, lookAtProject } from '../intents/look.ts';
import type { Ending } from '../reports/ending.ts';
import type { Scaled } from './scale.ts';

/** Most hosts that are worth naming in one sentence. */
const SHOWN = 3;

export interface ScaleView {
  readonly desired: DesiredValue | undefined;
  readonly scale: ScaleValue | undefined;
  readonly shares: SharesValue | undefined;
  readonly statuses: readonly StatusValue[];
  /** Where an agent runs the component now. */
  readonly hosts: readonly string[];
}

export interface ScaleWait {
  readonly project: string;
  readonly targets: readonly Scaled[];
  readonly waitMs: number;
}

/** One for each target; those that go on when the time is over, or nobody waits any more, are `open`. */
export async function untilScaled(
  fleet: Fleet,
  { project, targets, waitMs }: ScaleWait,
  signal: AbortSignal,
): Promise<readonly Ending[]> {
  const at = fleet.keys.project(project);
  const views = await untilWritten(fleet.store, {
    ...{ range: at.allStatuses(), waitMs, signal },
    look: () => viewsOf(fleet, project, targets),
    isDone: (found) =>
      targets.every((t, i) => found[i] !== undefined && scaleEnding(t, found[i]) !== undefined),
  });
  return targets.flatMap((target, i) => {
    const view = views[i];
    return view === undefined ? [] : [scaleEnding(target, view) ?? stillOpen(target, view)];
  });
}

async function viewsOf(
  fleet: Fleet,
  project: string,
  targets: readonly Scaled[],
): Promise<readonly ScaleView[]> {
  const keys = fleet.keys.project(project);
  const [look, statuses, hosts, shares] = await Promise.all([
    lookAtProject(fleet, project),
    allStatusesOf(fleet, project),
    hostsOf(fleet, project),
    Promise.all(targets.map((t) => fleet.store.get(keys.shares(t.component)).then(readShares))),
  ]);
  return targets.map(({ component }, i) => ({
    desired: look.desired.get(component)?.value,
    scale: look.scales.get(component)?.value,
    shares: shares[i],
    statuses: statuses.get(component) ?? [],
    hosts: hosts.filter((h) => h.components.includes(component)).map((h) => h.host),
  }));
}

/** undefined: it goes on. Pure. */
export function scaleEnding(target: Scaled, view: ScaleView): Ending | undefined {
  const { component, number, instances } = target;
  const { desired, scale, hosts } = view;
  if (scale === undefined || scale.number > number) return overtaken(component, scale);
  if (hosts.length === 0) {
    return { component, outcome: 'no-hosts', why: `No agent runs ${component} on any live host` };
  }
  if (desired !== undefined && desired.status !== 'ready') {
    const why = `${component} is ${desired.status}; it has ${instancesWords(instances)} from its next start on`;
    return { component, outcome: 'done', why };
  }
  const arrived = hosts.every((host) => hasArrived(statusOf(host, view), target, view.shares));
  if (!arrived || !isSpread(instances, view.shares)) return undefined;
  const less = typeof instances === 'number' ? {} : (view.shares?.late ?? {});
  const but = Object.entries(less).map(([host, has]) => `; ${host} could not have more than ${has} in time`);
  return { component, outcome: 'done', why: `${component}: ${servingWords(view)}${but.join('')}` };
}

function overtaken(component: string, scale: ScaleValue | undefined): Ending {
  const why =
    scale === undefined
      ? `An update of ${component} says another number meanwhile`
      : `${scale.by} asked for ${instancesWords(scale.instances)} of ${component} meanwhile`;
  return { component, outcome: 'superseded', why };
}

function hasArrived(
  status: StatusValue | undefined,
  { number, instances }: Scaled,
  shares: SharesValue | undefined,
): boolean {
  const { size } = status ?? {};
  if (status === undefined || size === undefined || size.scale < number) return false;
  if (typeof instances !== 'number' && size.shares < (shares?.number ?? 0)) return false;
  return serving(status) === size.wanted;
}

function isSpread(instances: Scaled['instances'], shares: SharesValue | undefined): boolean {
  if (typeof instances === 'number') return true;
  return shares?.total === instances.total && shares.next === undefined;
}

/** How far it is, and who is late. */
export function stillOpen({ component, instances }: Scaled, view: ScaleView): Ending {
  const late = view.statuses.flatMap(lateWords);
  const busy = view.statuses.filter((s) => s.why !== '').map(({ host, why }) => `${host}: ${why}`);
  const reasons = (late.length > 0 ? late : busy).slice(0, SHOWN).map((words) => `; ${words}`);
  const asked = `${instancesWords(instances)} are asked for`;
  const why = `${component}: ${servingWords(view)}, ${asked}${reasons.join('')}`;
  return { component, outcome: 'open', why };
}

function lateWords(status: StatusValue): readonly string[] {
  const { host, size, why } = status;
  const has = serving(status);
  if (size === undefined || has >= size.wanted) return [];
  return [`${host} has ${has} of ${size.wanted}${why === '' ? '' : `: ${why}`}`];
}

function statusOf(host: string, { statuses }: ScaleView): StatusValue | undefined {
  return statuses.find((s) => s.host === host);
}

function serving({ containers }: StatusValue): number {
  return containers.filter((c) => c.state === 'serving').length;
}

function servingWords({ statuses, hosts }: ScaleView): string {
  const count = statuses.reduce((sum, s) => sum + serving(s), 0);
  const noun = count === 1 ? 'container serves' : 'containers serve';
  return `${count} ${noun} on ${hosts.length} ${hosts.length === 1 ? 'host' : 'hosts'}`;
}
