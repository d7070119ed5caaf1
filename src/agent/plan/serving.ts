/** Who serves: which containers the proxy should use now, and the step that makes it so. Pure. */
import { type Listener, sameListeners } from '../../proxy/tables/routes.ts';
import { count, type Plan } from './action.ts';
import { sameSplit, splitOf } from './canary.ts';
import { isHopeful, isLeaving, isReady, isUnwell } from './standing.ts';
import type { Desired, Observed, ObservedContainer, Release } from './state.ts';

/** How far the desired release is. */
export interface Progress {
  readonly ready: readonly ObservedContainer[];
  /** All of it is ready. */
  readonly complete: boolean;
}

/** Which containers the proxy should use now. */
export function chooseServing(
  desired: Desired,
  release: Release,
  containers: readonly ObservedContainer[],
  { ready, complete }: Progress,
): readonly ObservedContainer[] {
  if (complete) return chosen(ready, release.component.instances);
  const on = servingOn(desired, release, containers);
  if (ready.length === 0) return on;
  const healthy = on.filter((c) => !isUnwell(c));
  const olderServes = healthy.some((c) => c.release !== release.number);
  return olderServes ? healthy : union(healthy, ready);
}

/**
 * Of what must never run twice: the old one for as long as its end cannot begin, then nobody, then the new one. Clients
 * may wait meanwhile (`holdTimeout`).
 */
export function chooseAlone(
  desired: Desired,
  release: Release,
  observed: Observed,
  { ready, complete, current }: Progress & { readonly current: readonly ObservedContainer[] },
): readonly ObservedContainer[] {
  if (complete) return chosen(ready, release.component.instances);
  const mayBegin = observed.imagePresent && observed.startAfter <= observed.now;
  return mayBegin && !current.some(isHopeful) ? [] : servingOn(desired, release, observed.containers);
}

/** Whoever serves goes on; of the release that waits for its turn nothing is added. */
export function chooseHeld(
  desired: Desired,
  release: Release,
  containers: readonly ObservedContainer[],
): readonly ObservedContainer[] {
  const its = containers.filter((c) => c.release === release.number && c.routed);
  const others = containers.filter((c) => c.release !== release.number);
  const older = servingOn(desired, release, others);
  const isTried = desired.canary?.promoted === false && older.length > 0;
  if (isTried) return [...older, ...its.filter((c) => isReady(c) && !isLeaving(c))];
  return servingOn(desired, release, [...others, ...its]);
}

/** Who serves now, or did last; the unhealthy only while there is nobody else. */
function servingOn(
  { previous }: Desired,
  release: Release,
  containers: readonly ObservedContainer[],
): readonly ObservedContainer[] {
  const live = containers.filter((c) => c.state === 'running' && !isLeaving(c) && !isKeptOut(c, release));
  const routed = live.filter((c) => c.routed);
  const base = routed.length > 0 ? routed : servedBefore(release, previous, live);
  const healthy = base.filter((c) => !isUnwell(c));
  return healthy.length > 0 ? healthy : base;
}

/** A warm one serves again when its release is wanted again, not when the one that followed it has trouble. */
function isKeptOut(c: ObservedContainer, release: Release): boolean {
  return release.proven && c.warmUntil !== undefined;
}

/** A proxy that lost its table routes nothing: what served last should serve again, of one release only. */
function servedBefore(
  release: Release,
  previous: Release | undefined,
  live: readonly ObservedContainer[],
): readonly ObservedContainer[] {
  const served = live.filter((c) => c.served);
  const healthy = served.filter((c) => !isUnwell(c));
  const able = healthy.length > 0 ? healthy : served;
  const numbers = able.map((c) => c.release);
  // Of a release that is not proven only some may have served, to try it out.
  const order = release.proven ? [release.number, previous?.number] : [previous?.number, release.number];
  const last = order.find((n) => n !== undefined && numbers.includes(n));
  return able.filter((c) => c.release === (last ?? Math.max(...numbers)));
}

/** Who stays of more than there are to be: who serves, of these the ones that most clients are with, then the oldest. */
function chosen(ready: readonly ObservedContainer[], instances: number): readonly ObservedContainer[] {
  const inOrder = preferRouted(ready);
  const routed = inOrder.filter((c) => c.routed);
  if (routed.length <= instances) return inOrder.slice(0, instances);
  // `readyBy` is as much later as a container is younger.
  const first = routed.toSorted((a, b) => b.connections - a.connections || a.readyBy - b.readyBy);
  return routed.filter((c) => first.indexOf(c) < instances);
}

export function preferRouted(containers: readonly ObservedContainer[]): readonly ObservedContainer[] {
  return [...containers.filter((c) => c.routed), ...containers.filter((c) => !c.routed)];
}

function union(
  a: readonly ObservedContainer[],
  b: readonly ObservedContainer[],
): readonly ObservedContainer[] {
  return [...a, ...b.filter((c) => !a.includes(c))];
}

/** `release`: whose listeners stand while nothing serves. */
export function routing(
  desired: Desired,
  release: Release,
  observed: Observed,
  serving: readonly ObservedContainer[],
): Plan {
  const older = serving.find((c) => c.release !== desired.release?.number);
  const served = (older ?? serving[0])?.release;
  const split = splitOf(desired, serving);
  const listeners = listenersFor(served, desired, release, observed);
  const isNone = release.component.instances === 0;
  // Where none is to be, the ports answer that nothing serves.
  const listens = observed.listeners.length > 0 || (isNone && release.proven);
  const nothingYet = serving.length === 0 && !listens;
  if (nothingYet) return [];
  const now = observed.containers.filter((c) => c.routed);
  const isTold = sameSplit(split, observed.split) && (split === undefined || desired.canary !== undefined);
  if (sameContainers(now, serving) && sameListeners(listeners, observed.listeners) && isTold) return [];
  return [
    {
      kind: 'route',
      component: desired.component,
      containers: serving.map((c) => c.id),
      release: served ?? release.number,
      listeners,
      ...(split === undefined ? {} : { canary: split }),
      why: routeReason(now, serving, { begins: split !== undefined && observed.split === undefined, isNone }),
    },
  ];
}

/** Until the switch the listeners stay as the serving release has them. */
function listenersFor(
  served: number | undefined,
  { previous }: Desired,
  release: Release,
  observed: Observed,
): readonly Listener[] {
  if (served === undefined && !release.proven && observed.listeners.length > 0) return observed.listeners;
  if (served === undefined || served === release.number) return release.listeners;
  if (served === previous?.number) return previous.listeners;
  return observed.listeners.length > 0 ? observed.listeners : release.listeners;
}

function sameContainers(a: readonly ObservedContainer[], b: readonly ObservedContainer[]): boolean {
  return a.length === b.length && a.every((c) => b.includes(c));
}

function routeReason(
  now: readonly ObservedContainer[],
  serving: readonly ObservedContainer[],
  { begins, isNone }: { readonly begins: boolean; readonly isNone: boolean },
): string {
  if (begins) return 'a part of it is ready to be tried out';
  const gone = now.filter((c) => !serving.includes(c));
  if (serving.length === 0 && isNone) return 'none is to be here';
  if (serving.length === 0) {
    const alive = now.some((c) => c.state === 'running');
    return alive ? 'it must end before the next one starts' : 'nothing that could serve is alive';
  }
  if (now.length === 0)
    return `${count(serving.length, 'container')} of release ${serving[0]?.release} ready`;
  if (sameContainers(now, serving)) return 'the listeners changed';
  const dead = gone.filter((c) => c.state !== 'running').length;
  const bad = gone.filter(isUnwell).length;
  if (dead > 0) return `${count(dead, 'container')} died`;
  if (bad > 0) return `${count(bad, 'container')} unhealthy`;
  const fewer = gone.length > 0 && gone.every((c) => c.release === serving[0]?.release);
  if (fewer) return `${serving.length} ${serving.length === 1 ? 'is' : 'are'} to be here`;
  return `release ${serving[0]?.release} is ready`;
}
