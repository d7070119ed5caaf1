/** What a container is to the plan, in one word each: ready, hopeful, failed, leaving. Pure. */
import type { Action } from './action.ts';
import type { ContainerId, ObservedContainer, Release } from './state.ts';

export function isReady(c: ObservedContainer): boolean {
  return c.state === 'running' && c.readiness === 'ready' && !isUnwell(c);
}

/** Ready, or may yet become so. */
export function isHopeful(c: ObservedContainer): boolean {
  if (c.state === 'created') return c.readiness !== 'late';
  if (c.state !== 'running') return false;
  return isReady(c) || c.readiness === 'pending' || (isUnwell(c) && c.healthPolicy === 'unroute');
}

/** Others are to be preferred to it. */
export function isUnwell(c: ObservedContainer): boolean {
  return c.health === 'unhealthy' && c.healthPolicy !== 'report';
}

/** Ended, too late, or so unwell that another one is to take its place. */
export function hasFailed(c: ObservedContainer): boolean {
  return c.state === 'exited' || c.readiness === 'late' || isToBeReplaced(c);
}

export function isToBeReplaced(c: ObservedContainer): boolean {
  return c.health === 'unhealthy' && c.healthPolicy === 'replace';
}

/** So many do not serve that the cause is likely outside of them. */
export function areMostDown(down: number, instances: number): boolean {
  return down > 1 && down * 2 > instances;
}

/** Whoever is stopped on purpose drains first, so a restarted agent knows it too. */
export function isLeaving(c: ObservedContainer): boolean {
  return c.drain !== undefined || c.busy;
}

/** What must never run twice: one ends before the next begins. */
export function runsAlone(release: Release): boolean {
  return release.component.update.order === 'stop-first';
}

/** What a process does to containers besides its loop. */
export type Doing = ReadonlyMap<ContainerId, Action['kind']>;

/** Whether a process that does this ends it: a removal ends nothing that another process has started meanwhile. */
export function isEnding(doing: Action['kind'] | undefined, state: ObservedContainer['state']): boolean {
  const removes = doing === 'remove-container' || doing === 'remove-failed';
  return doing !== undefined && !(removes && state === 'running');
}
