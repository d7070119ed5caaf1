/**
 * What `list`, `list --hosts` and `history` tell, as rows from what etcd holds. Pure; the words for one component on
 * its hosts are in why.ts.
 */
import type {
  DesiredValue,
  HostPhase,
  HostSize,
  HostValue,
  Instances,
  OutcomeValue,
  ReleaseValue,
  RolloutValue,
  StatusValue,
} from '../../cluster/values.ts';
import { type ComponentLook, isUnfinished, type ProjectLook } from '../intents/look.ts';

/** How a component is, in one word. `unknown`: nothing was asked of it yet. */
export type StatusWord =
  | 'ready'
  | 'updating'
  | 'rolling back'
  | 'paused'
  | 'failed'
  | 'stopped'
  | 'killed'
  | 'unknown';

export interface ComponentRow {
  readonly component: string;
  readonly status: StatusWord;
  /** 0: none was made. Kept through stop and kill, as the image is. */
  readonly release: number;
  readonly image?: ReleaseValue['image'];
  /** How many somebody asked for, where that is not what the config says. */
  readonly scale?: Instances;
  /** Who asked last, and when (ISO time). */
  readonly by?: string;
  readonly at?: string;
  /** Why it is paused, failed or going back. */
  readonly reason?: string;
}

export interface HostRow {
  readonly component: string;
  readonly host: string;
  /** That serves there; 0: none. */
  readonly release: number;
  /** `unknown`: an agent runs there and has not told yet. */
  readonly phase: HostPhase | 'unknown';
  /** Settled on what is wanted now. */
  readonly settled: boolean;
  readonly connections: number;
  /** Containers that serve, and that are to; absent where that is the release's business alone. */
  readonly size?: Pick<HostSize, 'wanted'> & { readonly serving: number };
  /** What the last check of its newest container saw; '': none ran. */
  readonly check: string;
  /** ISO time when the phase began. */
  readonly since: string;
  readonly why: string;
}

export interface HistoryRow {
  readonly release: number;
  readonly image: ReleaseValue['image'];
  readonly at: string;
  readonly by: string;
  readonly note?: string;
  /** `superseded`: something else was wanted before it had served everywhere. `untried`: no container of it was wanted yet. */
  readonly outcome: OutcomeValue['result'] | 'preparing' | 'running' | 'paused' | 'untried' | 'superseded';
  readonly reason?: string;
  /** It is the one wanted now. */
  readonly desired: boolean;
}

export function statusWord(desired: DesiredValue | undefined, rollout: RolloutValue | undefined): StatusWord {
  if (desired === undefined) return 'unknown';
  if (desired.status !== 'ready') return isStoppedByFailure(desired, rollout) ? 'failed' : desired.status;
  if (rollout === undefined || rollout.generation !== desired.generation) return 'ready';
  if (rollout.state === 'paused' || rollout.state === 'failed') return rollout.state;
  if (!isUnfinished(rollout)) return 'ready';
  return rollout.kind === 'rollback' ? 'rolling back' : 'updating';
}

/** Both were written in one transaction: there was nothing to return to. */
function isStoppedByFailure(desired: DesiredValue, rollout: RolloutValue | undefined): boolean {
  return rollout?.state === 'failed' && rollout.endedAt === desired.at;
}

export function componentRow(
  look: ProjectLook,
  component: string,
  release: ReleaseValue | undefined,
): ComponentRow {
  const desired = look.desired.get(component)?.value;
  const rollout = look.rollouts.get(component)?.value;
  const scale = look.scales.get(component)?.value;
  const status = statusWord(desired, rollout);
  const told = ['paused', 'failed', 'rolling back'].includes(status) ? rollout?.reason : undefined;
  return {
    component,
    status,
    release: desired?.release ?? 0,
    ...(release === undefined ? {} : { image: release.image }),
    ...(desired === undefined ? {} : { by: desired.by, at: desired.at }),
    ...(told === undefined ? {} : { reason: told }),
    ...(scale === undefined || scale.config === true ? {} : { scale: scale.instances }),
  };
}

/** Every live host that runs the component, by name. */
export function hostRows(
  component: string,
  desired: DesiredValue | undefined,
  statuses: readonly StatusValue[],
  hosts: readonly HostValue[],
): readonly HostRow[] {
  const told = statuses.map((status) => hostRow(component, desired, status));
  const silent = hosts
    .filter((h) => h.components.includes(component) && !statuses.some((s) => s.host === h.host))
    .map((h) => silentRow(component, h));
  return [...told, ...silent].sort((a, b) => (a.host < b.host ? -1 : 1));
}

function hostRow(component: string, desired: DesiredValue | undefined, status: StatusValue): HostRow {
  const { host, serving, phase, settled, containers, since, why } = status;
  return {
    ...{ component, host, release: serving, phase, since, why },
    settled: desired !== undefined && settled >= desired.generation,
    connections: containers.reduce((sum, c) => sum + c.connections, 0),
    ...sizeOf(status),
    check: lastCheck(status),
  };
}

function sizeOf({ size, containers }: StatusValue): Pick<HostRow, 'size'> {
  if (size === undefined) return {};
  const serving = containers.filter((c) => c.state === 'serving').length;
  return { size: { wanted: size.wanted, serving } };
}

function silentRow(component: string, { host, since }: HostValue): HostRow {
  const why = 'its agent has told nothing of it yet';
  return {
    component,
    host,
    release: 0,
    phase: 'unknown',
    settled: false,
    connections: 0,
    check: '',
    since,
    why,
  };
}

/** Of the container that was started last and has been checked. */
export function lastCheck({ containers }: StatusValue): string {
  const checked = containers.filter((c) => c.check !== '');
  const newest = checked.sort((a, b) => (a.startedAt > b.startedAt ? -1 : 1))[0];
  return newest?.check ?? '';
}

/** The newest first. */
export function historyRows({ desired, rollout, releases, outcomes }: ComponentLook): readonly HistoryRow[] {
  const rows = [...releases.values()].flatMap((release): HistoryRow[] => {
    if (release === undefined) return [];
    const { number, image, at, by, note } = release;
    const outcome = outcomes.get(number);
    const reason = outcome?.reason;
    return [
      {
        ...{ release: number, image, at, by },
        ...(note === undefined ? {} : { note }),
        outcome: outcome?.result ?? onItsWay(number, rollout.value) ?? 'superseded',
        ...(reason === undefined ? {} : { reason }),
        desired: desired.value?.release === number,
      },
    ];
  });
  return rows.sort((a, b) => b.release - a.release);
}

function onItsWay(release: number, rollout: RolloutValue | undefined) {
  if (rollout?.release !== release || rollout.kind !== 'update') return undefined;
  const { state, untried } = rollout;
  if (untried === true) return 'untried';
  return state === 'preparing' || state === 'running' || state === 'paused' ? state : undefined;
}
