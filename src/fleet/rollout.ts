/**
 * What a host does next about one component in the fleet: from what etcd says is wanted and how far this host is, to
 * one step. Pure, total, deterministic; every step says why. It decides only what the host's record should want and
 * what to tell the others; how a release comes up, switches and drains is the business of agent/plan.ts.
 *
 * INVARIANT: an unproven release where another one serves is kept only while this host holds its turn.
 * INVARIANT: only a greater generation than the one followed changes what is wanted here; absence never does.
 */
import type { FleetMemory } from '../agent/record.ts';
import type { ScaleMemory } from '../agent/scale.ts';
import type {
  DesiredValue,
  ReleaseValue,
  RolloutValue,
  ScaleValue,
  SharesValue,
  TurnValue,
} from '../cluster/values.ts';
import { isUnspread, rescaled } from './scale/scaling.ts';

export interface Versioned<T> {
  readonly value: T;
  readonly modRevision: number;
}

export interface Turn extends TurnValue {
  readonly createRevision: number;
}

/** What etcd says of the component. */
export interface Wanted {
  /** What is here is up to date; else `trouble` says why not. */
  readonly current: boolean;
  readonly trouble: string | undefined;
  readonly desired: Versioned<DesiredValue> | undefined;
  readonly rollout: Versioned<RolloutValue> | undefined;
  readonly scale: Versioned<ScaleValue> | undefined;
  readonly shares: Versioned<SharesValue> | undefined;
  /** In order of creation. */
  readonly turns: readonly Turn[];
  /** Components whose rollouts must be done before this one switches and are not; and those of them that ended badly. */
  readonly behind: readonly string[];
  readonly broken: readonly string[];
  /** The desired release, once it is known. */
  readonly release: ReleaseValue | undefined;
}

/** How far the host is with getting a release ready to be adopted. */
export interface Preparation {
  readonly generation: number;
  readonly attempt: number;
  readonly state: 'working' | 'done' | 'retrying' | 'refused';
  /** What it does, or why it failed. */
  readonly why: string;
  /** Epoch milliseconds; retrying only. */
  readonly retryAt?: number;
}

/** How this host stands. */
export interface Here {
  readonly host: string;
  /** Epoch milliseconds. */
  readonly now: number;
  /** Of the session; undefined: none is held. */
  readonly lease: string | undefined;
  readonly memory: FleetMemory | undefined;
  readonly scale?: ScaleMemory | undefined;
  /** What the record wants. */
  readonly status: DesiredValue['status'];
  readonly release: number;
  readonly proven: boolean;
  /** Something served before the release, and would again. */
  readonly returns: boolean;
  /** Something of whatever release is routed now, or would be as soon as somebody sees to it. */
  readonly serves: boolean;
  /** What is waited for while the release has only a share of the work; undefined: it is not tried out. */
  readonly trying?: string | undefined;
  /** No container of it is to be here. */
  readonly hasNone?: boolean;
  /** The host is as the record wants it: all containers serve, or all are gone. */
  readonly arrived: boolean;
  /** What is wrong with a container of the release; undefined: nothing. */
  readonly failing: string | undefined;
  /** Why the record does not want its newest release any more. */
  readonly reason: string | undefined;
  readonly preparation: Preparation | undefined;
}

export type Step =
  | { readonly kind: 'take-back'; readonly why: string }
  | { readonly kind: 'rescale'; readonly scale: ScaleMemory; readonly why: string }
  | { readonly kind: 'follow-status'; readonly status: 'stopped' | 'killed'; readonly why: string }
  | { readonly kind: 'learn-release'; readonly release: number; readonly why: string }
  | { readonly kind: 'prepare'; readonly why: string }
  | { readonly kind: 'queue'; readonly why: string }
  | { readonly kind: 'unqueue'; readonly why: string }
  | { readonly kind: 'open'; readonly why: string }
  | {
      readonly kind: 'adopt';
      /** It has served before, or everywhere else: failures are healed, not rolled back. */
      readonly proven: boolean;
      readonly why: string;
    }
  | { readonly kind: 'watch-again'; readonly why: string }
  | { readonly kind: 'settle'; readonly why: string }
  | { readonly kind: 'complete'; readonly why: string }
  | { readonly kind: 'fail'; readonly why: string }
  | {
      readonly kind: 'wait';
      readonly for: 'etcd' | 'intent' | 'image' | 'fleet' | 'turn' | 'links' | 'ready' | 'monitor' | 'drain';
      /** Epoch milliseconds when it ends even if nothing happens. */
      readonly until?: number;
      readonly why: string;
    };

export function nextStep(wanted: Wanted, here: Here): Step {
  const lost = turnIsLost(wanted, here);
  if (lost !== undefined) return { kind: 'take-back', why: lost };
  if (!wanted.current) return wait('etcd', wanted.trouble ?? 'etcd has not answered yet');
  const desired = wanted.desired?.value;
  if (desired === undefined) return wait('intent', 'nothing was asked of it yet');
  const followed = here.memory?.generation ?? 0;
  if (desired.generation < followed) return ahead(desired, followed, wanted, here);
  const rescale = rescaled(wanted, here.scale, here.host);
  if (rescale !== undefined) return { kind: 'rescale', ...rescale };
  if (desired.status !== 'ready') return towardsNothing(desired, desired.status, wanted, here);
  return towardsRelease(desired, wanted, here);
}

/** Why an unproven release may not be kept; undefined: it may, or there is none. */
function turnIsLost(wanted: Wanted, here: Here): string | undefined {
  const adopted = here.memory !== undefined && here.memory.settled !== here.memory.generation;
  if (!adopted || here.status !== 'ready' || here.proven || !here.returns) return undefined;
  if (here.lease === undefined) return 'the lease of its turn is lost';
  if (!wanted.current) return undefined;
  const desired = wanted.desired?.value;
  if (desired !== undefined && desired.generation > here.memory.generation)
    return 'something newer is wanted';
  const isQueued = queued(wanted, here)?.generation === here.memory.generation;
  return isQueued ? undefined : 'its turn is over';
}

/** Whether an unproven release may come up and be switched to now: nothing is at stake, or this host has its turn. */
export function mayAdvance(
  wanted: Wanted,
  here: Pick<Here, 'host' | 'lease' | 'returns'> & {
    /** The change that the release is wanted by here. */
    readonly generation: number | undefined;
  },
): boolean {
  const turn = own(wanted, here);
  return !here.returns || (turn !== undefined && turn.generation === here.generation);
}

/** What etcd asks for is behind what this host follows, which stays. */
function ahead(desired: DesiredValue, followed: number, wanted: Wanted, here: Here): Step {
  const turn = queued(wanted, here);
  const isOfUse = turn?.generation === followed && !here.proven;
  if (turn !== undefined && !isOfUse) return { kind: 'unqueue', why: 'others may need the turn' };
  return wait('intent', olderWords(desired, followed));
}

function towardsNothing(
  desired: DesiredValue,
  status: 'stopped' | 'killed',
  wanted: Wanted,
  here: Here,
): Step {
  const isSettled = here.memory?.settled === desired.generation;
  const isFollowed = here.memory?.generation === desired.generation && here.status === status;
  if (!isFollowed && !isSettled) {
    return { kind: 'follow-status', status, why: `${desired.by} asked for it` };
  }
  if (queued(wanted, here) !== undefined) return { kind: 'unqueue', why: 'nothing is to be rolled out' };
  if (isSettled) return wait('intent', '');
  if (here.arrived) return { kind: 'settle', why: 'nothing of it is left here' };
  return wait('drain', 'its containers are on their way out');
}

function towardsRelease(desired: DesiredValue, wanted: Wanted, here: Here): Step {
  const rollout = wanted.rollout?.value;
  const ours = rollout?.generation === desired.generation ? rollout : undefined;
  const isTurned = ours?.kind === 'update' && ['preparing', 'running', 'paused'].includes(ours.state);
  const memory = here.memory;
  if (memory?.settled === desired.generation) return settled(ours, wanted, here);
  if (wanted.release === undefined) {
    return { kind: 'learn-release', release: desired.release, why: `${desired.by} asked for it` };
  }
  if (ours === undefined || ['failed', 'superseded'].includes(ours.state)) {
    return withoutRollout(desired, wanted.release, wanted, here);
  }
  if (!isTurned) return straight(desired, wanted.release, ours, wanted, here);
  const failed = memory?.failed?.generation === ours.generation ? memory.failed : undefined;
  if (failed !== undefined && failed.attempt >= ours.attempt) {
    const isTold = ours.state === 'paused' && ours.failure !== undefined;
    return isTold ? wait('fleet', `it failed here: ${failed.why}`) : { kind: 'fail', why: failed.why };
  }
  const again = failed !== undefined && !isAt(desired, here);
  const adopted = memory?.generation === desired.generation && !again;
  return adopted ? inTurn(desired, ours, wanted, here) : before(ours, wanted.release, wanted, here);
}

/** This host is done. The last one closes the rollout. */
function settled(ours: RolloutValue | undefined, wanted: Wanted, here: Here): Step {
  if (queued(wanted, here) !== undefined) return { kind: 'unqueue', why: 'its turn is over' };
  const open = ours !== undefined && (ours.state === 'running' || ours.state === 'preparing');
  const others = wanted.turns.some((t) => t.generation === ours?.generation);
  if (open && !others) return { kind: 'complete', why: 'no host waits for its turn' };
  if (open && ours.state === 'preparing' && ours.kind === 'update') {
    if (wanted.behind.length > 0) return behindLinks(wanted);
    return { kind: 'open', why: 'it was under way before: etcd was restored' };
  }
  const isTried = here.proven && here.arrived && here.hasNone !== true;
  if (ours?.state === 'done' && ours.untried === true && isTried) {
    return { kind: 'complete', why: `release ${ours.release} serves for the first time` };
  }
  return wait('intent', '');
}

/** To a release that serves elsewhere, or did before: no turn is needed. */
function straight(
  desired: DesiredValue,
  release: ReleaseValue,
  ours: RolloutValue,
  wanted: Wanted,
  here: Here,
): Step {
  if (here.memory?.generation === desired.generation && isAt(desired, here)) {
    if (!here.proven) return { kind: 'adopt', proven: true, why: 'it is settled elsewhere' };
    return arriving(release, here);
  }
  if (queued(wanted, here) !== undefined) return { kind: 'unqueue', why: 'it needs no turn' };
  const unready = preparing(ours, wanted, here, false);
  if (unready !== undefined) return unready;
  return { kind: 'adopt', proven: true, why: ours.kind === 'rollback' ? 'a rollback' : 'the fleet has it' };
}

/** Somebody removed its record, or damaged it: nobody knows whether the release has served anywhere. */
function withoutRollout(desired: DesiredValue, release: ReleaseValue, wanted: Wanted, here: Here): Step {
  if (here.memory?.generation === desired.generation && isAt(desired, here)) return arriving(release, here);
  if (here.serves) {
    const why = `etcd has no rollout of release ${release.number}: was it removed? What serves serves on; run update or rollback`;
    return wait('fleet', why);
  }
  if (queued(wanted, here) !== undefined) return { kind: 'unqueue', why: 'it needs no turn' };
  const unready = preparing({ generation: desired.generation, attempt: 1 }, wanted, here, false);
  return unready ?? { kind: 'adopt', proven: true, why: 'nothing serves here yet' };
}

function arriving({ number }: ReleaseValue, here: Here): Step {
  if (here.proven && here.arrived) return { kind: 'settle', why: `release ${number} serves` };
  return wait('ready', here.failing ?? `release ${number} is coming up`);
}

/** Not adopted yet: prepare, queue, and wait for the turn. */
function before(ours: RolloutValue, release: ReleaseValue, wanted: Wanted, here: Here): Step {
  const unready = preparing(ours, wanted, here, true);
  if (unready !== undefined) return unready;
  const turn = own(wanted, here);
  if (here.lease === undefined) return wait('etcd', 'this host has no lease yet');
  if (turn === undefined || turn.generation !== ours.generation || turn.attempt !== ours.attempt) {
    return { kind: 'queue', why: `prepared for release ${release.number}` };
  }
  if (wanted.broken.length > 0) {
    return { kind: 'fail', why: `${wanted.broken.join(', ')}, which it needs, could not be updated` };
  }
  if (ours.state === 'paused')
    return wait('fleet', `the rollout is paused: ${ours.reason ?? 'by an operator'}`);
  if (ours.state === 'preparing') return opening(ours, wanted, here);
  const position = wanted.turns.findIndex((t) => t.host === here.host);
  const { maxParallel } = release.spec.update;
  if (!here.serves) return { kind: 'adopt', proven: false, why: 'nothing serves here yet' };
  if (position < maxParallel) return { kind: 'adopt', proven: false, why: 'it is its turn' };
  return wait('turn', turnWords(wanted.turns, position, maxParallel));
}

/** All hosts are to be prepared before one switches; who is first in the queue says when. */
function opening(ours: RolloutValue, wanted: Wanted, here: Here): Step {
  const prepared = wanted.turns.filter((t) => t.generation === ours.generation);
  if (wanted.behind.length > 0) return behindLinks(wanted);
  if (prepared[0]?.host === here.host) return { kind: 'open', why: `${prepared.length} prepared` };
  return wait('fleet', `${prepared.length} hosts are prepared, others are not yet`);
}

function behindLinks({ behind }: Wanted): Step {
  return wait('links', `${behind.join(', ')} is updated first`);
}

/** Adopted under a turn: wait until it serves, watch it for a while, and give the turn back. */
function inTurn(desired: DesiredValue, ours: RolloutValue, wanted: Wanted, here: Here): Step {
  if (!isAt(desired, here)) return { kind: 'fail', why: here.reason ?? 'it was given up' };
  if (here.lease !== undefined && own(wanted, here) === undefined && !here.proven) {
    return { kind: 'queue', why: 'the turn goes on after a new start' };
  }
  const number = desired.release;
  const monitorMs = wanted.release?.spec.update.monitorMs ?? 0;
  // First of all: what it failed of belongs to the attempt before.
  if (here.memory?.failed?.generation === ours.generation) {
    return { kind: 'watch-again', why: 'the rollout was resumed' };
  }
  if (here.proven && here.failing !== undefined) return { kind: 'fail', why: here.failing };
  if (!here.proven && here.trying !== undefined) return wait('monitor', here.trying);
  if (!here.proven || !here.arrived) return wait('ready', `release ${number} is coming up`);
  if (here.hasNone === true) return { kind: 'settle', why: 'no container of it is to be here' };
  const since = here.memory?.provenAt;
  if (since === undefined) return { kind: 'watch-again', why: 'nobody remembers since when it serves' };
  const until = since + monitorMs;
  if (here.now < until) return wait('monitor', `release ${number} serves and is watched`, until);
  return { kind: 'settle', why: `release ${number} served well for ${monitorMs} ms` };
}

/** What is still to be done before a release can be adopted; undefined: nothing. */
function preparing(
  { generation, attempt }: Pick<RolloutValue, 'generation' | 'attempt'>,
  wanted: Wanted,
  here: Here,
  decides: boolean,
): Step | undefined {
  const p = here.preparation;
  if (p === undefined || p.generation !== generation || p.attempt !== attempt) {
    return { kind: 'prepare', why: 'it is wanted here' };
  }
  if (p.state === 'done') return unspread(wanted, here);
  if (p.state === 'working') return wait('image', p.why);
  if (p.state === 'refused' && decides) return { kind: 'fail', why: p.why };
  if (p.retryAt !== undefined && p.retryAt <= here.now) return { kind: 'prepare', why: 'another try' };
  return wait('image', p.why, p.retryAt);
}

function unspread(wanted: Wanted, { scale, memory }: Here): Step | undefined {
  const following = { memory: scale, generation: memory?.generation ?? 0 };
  if (!isUnspread(wanted, following)) return undefined;
  return wait('fleet', 'it is not decided yet how its total is spread over the hosts');
}

function isAt(desired: DesiredValue, here: Here): boolean {
  return here.status === 'ready' && here.release === desired.release;
}

/** A turn counts only under the lease that is held now: one of an older lease may have ended already. */
function own(wanted: Wanted, here: Pick<Here, 'host' | 'lease'>): Turn | undefined {
  return wanted.turns.find((t) => t.host === here.host && t.lease === here.lease);
}

/** This host's key is in the queue, also one from before a new start. */
function queued(wanted: Wanted, here: Here): Turn | undefined {
  return wanted.turns.find((t) => t.host === here.host);
}

function turnWords(turns: readonly Turn[], position: number, maxParallel: number): string {
  const having = turns.slice(0, maxParallel).map((t) => t.host);
  const between = turns.slice(maxParallel, position).map((t) => t.host);
  const verb = having.length === 1 ? 'has its turn' : 'have their turn';
  const next = between.length === 0 ? 'this host is next' : `then ${shown(between)}`;
  return `${shown(having)} ${verb}, ${next}`;
}

/** Most names that are worth reading. */
const SHOWN = 3;

function shown(hosts: readonly string[]): string {
  const rest = hosts.length - SHOWN;
  return rest > 0 ? `${hosts.slice(0, SHOWN).join(', ')} and ${rest} more` : hosts.join(', ');
}

function olderWords(desired: DesiredValue, followed: number): string {
  return `etcd asks for what this host has left behind (change ${desired.generation}, followed ${followed}): was it restored? The next update, rollback or stop is followed`;
}

function wait(what: Extract<Step, { kind: 'wait' }>['for'], why: string, until?: number): Step {
  return { kind: 'wait', for: what, why, ...(until === undefined ? {} : { until }) };
}
