/** When what a command asked for is over on all hosts, and how it ended. Pure. */
import type {
  DesiredStatus,
  DesiredValue,
  Failure,
  RolloutValue,
  StatusValue,
  TurnValue,
} from '../../cluster/values.ts';

/** What was asked for. */
export interface Target {
  readonly component: string;
  readonly status: DesiredStatus;
  readonly release: number;
  readonly generation: number;
}

export interface FollowedView {
  readonly desired: DesiredValue | undefined;
  readonly rollout: RolloutValue | undefined;
  /** In the order of the queue. */
  readonly turns: readonly TurnValue[];
  readonly statuses: readonly StatusValue[];
  /** Where an agent runs the component now. */
  readonly hosts: readonly string[];
}

export interface Ending {
  readonly component: string;
  readonly outcome:
    | 'done'
    | 'rolled-back'
    | 'paused'
    | 'failed'
    | 'superseded'
    | 'no-hosts'
    /** It is not over, and goes on. */
    | 'open';
  /** As a sentence without its end. */
  readonly why: string;
  readonly failure?: Failure;
}

/** undefined: it goes on. Only of a view that is current: what is missing is gone. */
export function endingOf(target: Target, view: FollowedView): Ending | undefined {
  const { desired, rollout } = view;
  if (desired !== undefined && desired.generation > target.generation)
    return overtaken(target, view, desired);
  const names = hostsOf(view);
  if (names.length === 0) return noHosts(target);
  const own = rollout?.generation === target.generation ? rollout : undefined;
  const broken = own === undefined ? undefined : brokenOff(target, own);
  if (broken !== undefined) return broken;
  if (own !== undefined && own.state !== 'done' && target.status === 'ready') return undefined;
  if (!names.every((host) => isSettled(host, view, target.generation))) return undefined;
  return { component: target.component, outcome: 'done', why: doneWords(target, names.length) };
}

/** How far it is. */
export function stillOpen(target: Target, view: FollowedView | undefined): Ending {
  const { component } = target;
  const open = (why: string): Ending => ({ component, outcome: 'open', why });
  if (view === undefined) return open(`etcd has told nothing of ${component} yet`);
  const back = ownRollback(target, view);
  if (back !== undefined) return wentBack(target, back, 'is going back');
  const names = hostsOf(view);
  const settled = names.filter((host) => isSettled(host, view, target.generation));
  const done = `${component}: ${reached(target)} on ${settled.length} of ${names.length} hosts`;
  const busy = view.statuses.find((s) => s.settled < target.generation && s.why !== '');
  return open(busy === undefined ? done : `${done}; ${busy.host}: ${busy.why}`);
}

function brokenOff({ component }: Target, rollout: RolloutValue): Ending | undefined {
  const { state, reason = 'nobody said why', failure } = rollout;
  if (state !== 'paused' && state !== 'failed' && state !== 'superseded') return undefined;
  const words = { paused: 'is paused', failed: 'failed', superseded: 'was given up' }[state];
  const why = `The rollout of ${component} ${words}: ${reason}`;
  return { component, outcome: state, why, ...(failure === undefined ? {} : { failure }) };
}

/** Something newer is wanted: because this failed, or because somebody asked. */
function overtaken(target: Target, view: FollowedView, desired: DesiredValue): Ending | undefined {
  const { component } = target;
  const back = ownRollback(target, view);
  if (back !== undefined) {
    const isBack = hostsOf(view).every((host) => isSettled(host, view, back.generation));
    return isBack && back.state === 'done' ? wentBack(target, back, 'was rolled back') : undefined;
  }
  const { rollout } = view;
  if (rollout?.generation === target.generation && rollout.state === 'failed') {
    const reason = rollout.reason ?? 'nobody said why';
    const why = `Release ${target.release} of ${component} failed, and nothing served before it: ${reason}`;
    const { failure } = rollout;
    return { component, outcome: 'failed', why, ...(failure === undefined ? {} : { failure }) };
  }
  const wanted = desired.status === 'ready' ? `run release ${desired.release}` : `be ${desired.status}`;
  const why = `${desired.by} changed ${component} meanwhile: it is to ${wanted}`;
  return { component, outcome: 'superseded', why };
}

/** The fleet's own decision to take the target's release back. */
function ownRollback(target: Target, { desired, rollout }: FollowedView): RolloutValue | undefined {
  if (rollout === undefined || desired === undefined || rollout.failure === undefined) return undefined;
  const isIt = rollout.kind === 'rollback' && rollout.generation === desired.generation;
  const isOfTarget = rollout.generation > target.generation && rollout.from === target.release;
  return isIt && isOfTarget ? rollout : undefined;
}

function wentBack({ component, release }: Target, back: RolloutValue, words: string): Ending {
  const why = `Release ${release} of ${component} ${words} to release ${back.release}: ${back.reason ?? ''}`;
  const { failure } = back;
  return { component, outcome: 'rolled-back', why, ...(failure === undefined ? {} : { failure }) };
}

function noHosts({ component, status, release }: Target): Ending {
  const later =
    status === 'ready'
      ? `the first agent that comes will run release ${release}`
      : `it stays ${status} for agents that come`;
  return { component, outcome: 'no-hosts', why: `No live host runs ${component}; ${later}` };
}

/** With an agent for the component, or a status of it. */
function hostsOf({ statuses, hosts }: FollowedView): readonly string[] {
  return [...new Set([...hosts, ...statuses.map((s) => s.host)])];
}

function isSettled(host: string, { statuses }: FollowedView, generation: number): boolean {
  return statuses.some((s) => s.host === host && s.settled >= generation);
}

function doneWords(target: Target, hosts: number): string {
  return `${target.component}: ${reached(target)} on ${hosts === 1 ? '1 host' : `all ${hosts} hosts`}`;
}

function reached({ status, release }: Target): string {
  return status === 'ready' ? `release ${release} serves` : status;
}
