/** Which number comes next, which release a component returns to, and which ones nobody needs any more. Pure. */
import type { StatusValue } from '../cluster/values.ts';
import { type ComponentLook, isUnfinished } from './intents/look.ts';

/** Kept in etcd for each component, besides those that something still stands on. */
export const RELEASES_KEPT = 20;
/** Removed in one go: a transaction has its limits. */
const MOST_REMOVED = 20;

/** Above all that etcd and any live host knows: an etcd that was restored gives no number out twice. */
export function nextGeneration({ desired, rollout, statuses }: ComponentLook): number {
  const told = statuses.flatMap((s) => [s.generation, s.settled, s.known.generation]);
  return highest([desired.value?.generation, rollout.value?.generation, ...told]) + 1;
}

export function nextRelease({ desired, rollout, releases, outcomes, statuses }: ComponentLook): number {
  const known = [desired.value?.release, rollout.value?.release, rollout.value?.from];
  const told = statuses.flatMap((s) => [s.serving, s.known.release, ...s.containers.map((c) => c.release)]);
  return highest([...known, ...releases.keys(), ...outcomes.keys(), ...told]) + 1;
}

/** Where an update that fails goes back to; 0: nothing serves now, a failure leaves it stopped. */
export function returnTo(at: ComponentLook): number {
  const desired = at.desired.value;
  if (desired === undefined || desired.status !== 'ready') return 0;
  if (isGood(at, desired.release)) return desired.release;
  const rollout = at.rollout.value;
  if (isUnfinished(rollout)) return rollout.from;
  return newestGood(at, desired.release) ?? 0;
}

/** What served before the desired release, whatever its number; undefined: there is none. */
export function rollbackTo(at: ComponentLook, to: number | undefined): number | undefined {
  if (to !== undefined) return at.releases.get(to) === undefined ? undefined : to;
  const desired = at.desired.value;
  if (desired === undefined) return undefined;
  const rollout = at.rollout.value;
  // Whoever asks while a failed release is taken back means that one, not the one before.
  const goesBack = rollout?.kind === 'rollback' && rollout.release === desired.release;
  if (goesBack && desired.status === 'ready' && isUnfinished(rollout)) return desired.release;
  const own = rollout?.kind === 'update' && rollout.release === desired.release;
  if (own && at.releases.get(rollout.from) !== undefined) return rollout.from;
  return newestGood(at, desired.release);
}

/** Numbers of the releases that the next write removes, the oldest first. */
export function overdue(
  { desired, releases, outcomes, statuses }: ComponentLook,
  { from, made }: { readonly from: number; readonly made: number },
): readonly number[] {
  const newest = [...releases.keys(), made].sort((a, b) => b - a).slice(0, RELEASES_KEPT);
  const needed = new Set([...newest, desired.value?.release, from, ...statuses.flatMap(releasesOn)]);
  const all = new Set([...releases.keys(), ...outcomes.keys()]);
  const old = [...all].filter((number) => !needed.has(number));
  return old.sort((a, b) => a - b).slice(0, MOST_REMOVED);
}

/** It has served everywhere, or is being returned to because it did. */
function isGood({ outcomes, rollout }: ComponentLook, release: number): boolean {
  const { value } = rollout;
  const own = value !== undefined && value.release === release;
  if (own && (value.kind === 'rollback' || (value.state === 'done' && value.untried !== true))) return true;
  return outcomes.get(release)?.result === 'completed';
}

function newestGood(at: ComponentLook, before: number): number | undefined {
  const numbers = [...at.releases].flatMap(([number, value]) => (value === undefined ? [] : [number]));
  return numbers.filter((n) => n < before && at.outcomes.get(n)?.result === 'completed').at(-1);
}

function releasesOn({ serving, containers }: StatusValue): readonly number[] {
  return [serving, ...containers.map((c) => c.release)];
}

/** What hosts tell is not checked in every detail. */
function highest(numbers: readonly (number | undefined)[]): number {
  return Math.max(0, ...numbers.filter((n) => n !== undefined && Number.isSafeInteger(n)).map(Number));
}
