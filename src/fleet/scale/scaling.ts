/**
 * How many containers of a component are to be on this host, as etcd says it: what of it the record is to remember
 * next, and what its agents have to decide about. Pure.
 *
 * INVARIANT: only a greater number than the one followed changes anything; absence does not.
 */
import { instancesOf, instancesWords, type ScaleMemory, UNSCALED } from '../../agent/scale.ts';
import type { Instances, ScaleValue, SharesValue } from '../../cluster/values.ts';
import type { Component } from '../../config/project.ts';
import { isUnfinished } from '../intents/look.ts';
import type { Wanted } from '../rollout.ts';

export interface Rescale {
  /** What the record is to remember. */
  readonly scale: ScaleMemory;
  readonly why: string;
}

type Said = Pick<Wanted, 'scale' | 'shares'>;

/** undefined: the record follows all there is to follow. */
export function rescaled(
  { scale, shares }: Said,
  memory: ScaleMemory | undefined,
  host: string,
): Rescale | undefined {
  const before = memory ?? UNSCALED;
  const spread = shares?.value;
  const shared = withShare(before, spread, host);
  const asked = scale?.value;
  const after = withAsked(shared?.scale ?? before, asked, spread, host);
  if (after === undefined) return shared;
  const whys = [after.why, ...(shared === undefined ? [] : [shared.why])];
  return { scale: after.scale, why: whys.join('; ') };
}

/**
 * A host that is not named keeps what it has: it was gone when that was decided. Now that it is back it will be named,
 * and what serves here meanwhile may be all there is.
 */
function withShare(memory: ScaleMemory, spread: SharesValue | undefined, host: string): Rescale | undefined {
  if (spread === undefined || spread.number <= memory.decision) return undefined;
  const share = shareOf(spread, host);
  if (share === undefined) return undefined;
  const why = `its share is ${share} of ${spread.total}: ${spread.why}`;
  return { scale: { ...memory, decision: spread.number, share }, why };
}

function shareOf({ shares }: SharesValue, host: string): number | undefined {
  return Object.hasOwn(shares, host) ? shares[host] : undefined;
}

/** A total is followed once it is decided how it is spread. */
function withAsked(
  memory: ScaleMemory,
  asked: ScaleValue | undefined,
  spread: SharesValue | undefined,
  host: string,
): Rescale | undefined {
  if (asked === undefined || asked.number <= memory.number) return undefined;
  const { instances: _, ...rest } = memory;
  const why = `${asked.by} asked for ${instancesWords(asked.instances)}`;
  const isSpread =
    typeof asked.instances === 'number' ||
    (spread?.total === asked.instances.total && shareOf(spread, host) !== undefined);
  if (!isSpread) return undefined;
  const followed = { ...rest, number: asked.number };
  return { scale: asked.config === true ? followed : { ...followed, instances: asked.instances }, why };
}

/** How far this host is with it. */
export interface Following {
  readonly memory: ScaleMemory | undefined;
  /** Of the desired value that is followed. */
  readonly generation: number;
}

/**
 * How many are wanted now: as somebody asked, else as the desired release says; undefined: nobody knows. What this
 * host remembers counts where etcd was restored, but not when a newer release may have put an end to it.
 */
export function instancesWanted(
  { scale, desired }: Pick<Wanted, 'scale' | 'desired'>,
  { memory, generation }: Following,
  spec: Component | undefined,
): Instances | undefined {
  const asked = scale?.value;
  const own = spec === undefined ? undefined : instancesOf(spec);
  if (asked !== undefined && asked.number >= (memory?.number ?? 0)) {
    return asked.config === true ? own : asked.instances;
  }
  const isOver = desired === undefined || desired.value.generation > generation;
  return isOver ? own : (memory?.instances ?? own);
}

/**
 * What this host remembers that was asked for where etcd does not any more: it was restored, or somebody removed the
 * key. undefined: etcd knows as much, or something is on its way that may have put an end to it.
 */
export function forgottenScale(
  { scale, desired, rollout }: Pick<Wanted, 'scale' | 'desired' | 'rollout'>,
  { memory, generation }: Following,
  spec: Component | undefined,
): Pick<ScaleValue, 'instances' | 'number' | 'config'> | undefined {
  const asked = scale?.value;
  const isAt = desired?.value.status === 'ready' && desired.value.generation === generation;
  if (!isAt || isUnfinished(rollout?.value) || memory === undefined || spec === undefined) return undefined;
  const { number, instances } = memory;
  if (asked === undefined) return instances === undefined ? undefined : { instances, number };
  if (asked.number >= number) return undefined;
  return instances === undefined
    ? { instances: instancesOf(spec), number, config: true }
    : { instances, number };
}

/** A release that has a total cannot be adopted before it is known what of it is this host's. */
export function isUnspread(wanted: Wanted, following: Following): boolean {
  const instances = instancesWanted(wanted, following, wanted.release?.spec);
  if (instances === undefined || typeof instances === 'number') return false;
  const decided = following.memory !== undefined && following.memory.decision > 0;
  return !decided || (wanted.shares?.value.total ?? 0) < instances.total;
}
