/**
 * The heart of gantryd: from what is wanted and what is there to what is done next. Pure, total,
 * deterministic; an empty plan means converged. Every action says why. Nothing here waits, asks or
 * remembers: after a plan is executed the world is observed again and planned again.
 *
 * INVARIANT: the last container that serves is never unrouted while its successor is not ready.
 * INVARIANT: a container that drains never gets traffic again, and is stopped only once nothing holds it.
 */
import { type Listener, sameListeners } from '../proxy/routes.ts';
import type { ContainerId, Desired, Observed, ObservedContainer, Release } from './state.ts';

export type Action =
  | { readonly kind: 'pull-image'; readonly component: string; readonly image: string; readonly why: string }
  | {
      readonly kind: 'create-container';
      readonly component: string;
      readonly release: number;
      readonly why: string;
    }
  | OnContainer<'start-container'>
  | {
      /** Replaces what the proxy does for the component. No release: no listeners either. */
      readonly kind: 'route';
      readonly component: string;
      readonly containers: readonly ContainerId[];
      readonly release: number | undefined;
      readonly listeners: readonly Listener[];
      readonly why: string;
    }
  | {
      readonly kind: 'prove-release';
      readonly component: string;
      readonly release: number;
      readonly why: string;
    }
  | {
      /** Points desired back at the previous release, for good. */
      readonly kind: 'fail-release';
      readonly component: string;
      readonly release: number;
      readonly container: ContainerId;
      readonly why: string;
    }
  | OnContainer<'drain'>
  | OnContainer<'send-signals'>
  | OnContainer<'stop-container'>
  | OnContainer<'kill-container'>
  | OnContainer<'remove-container'>
  | OnContainer<'remove-failed'>
  | {
      readonly kind: 'wait';
      readonly component: string;
      readonly for: 'ready' | 'drain' | 'backoff' | 'busy';
      readonly container?: ContainerId;
      /** Epoch milliseconds when it ends even if nothing happens; undefined: only an event ends it. */
      readonly until: number | undefined;
      readonly why: string;
    };

interface OnContainer<Kind extends string> {
  readonly kind: Kind;
  readonly component: string;
  readonly container: ContainerId;
  readonly why: string;
}

export type Plan = readonly Action[];

export function plan(desired: Desired, observed: Observed): Plan {
  if (desired.status !== 'ready' || desired.release === undefined) return planGone(desired, observed);
  return planReady(desired, desired.release, observed);
}

function planReady(desired: Desired, release: Release, observed: Observed): Plan {
  const current = observed.containers.filter((c) => c.release === release.number && !isLeaving(c));
  const failed = current.find(hasFailed);
  if (failed !== undefined && !release.proven) return [failRelease(desired, release, failed)];

  const ready = current.filter(isReady);
  const complete = ready.length >= release.component.instances;
  const serving = chooseServing(release, observed.containers, ready, complete);
  return [
    ...routing(desired, release, observed, serving),
    ...(complete && !release.proven ? [proveRelease(desired, release, ready)] : []),
    ...(complete ? [] : starting(desired, release, observed, current)),
    ...leaving(desired, observed, release, serving, complete),
  ];
}

function isReady(c: ObservedContainer): boolean {
  return c.state === 'running' && c.readiness === 'ready' && c.health !== 'unhealthy';
}

function hasFailed(c: ObservedContainer): boolean {
  return c.state === 'exited' || c.readiness === 'late' || c.health === 'unhealthy';
}

/** Whoever is stopped on purpose drains first, so a restarted agent knows it too. */
function isLeaving(c: ObservedContainer): boolean {
  return c.drain !== undefined || c.busy;
}

/** Which containers the proxy should use now. */
function chooseServing(
  release: Release,
  containers: readonly ObservedContainer[],
  ready: readonly ObservedContainer[],
  complete: boolean,
): readonly ObservedContainer[] {
  if (complete) return preferRouted(ready).slice(0, release.component.instances);
  const live = containers.filter((c) => c.state === 'running' && !isLeaving(c));
  const routed = live.filter((c) => c.routed);
  const base = routed.length > 0 ? routed : servedBefore(release, live);
  const healthy = base.filter((c) => c.health !== 'unhealthy');
  if (ready.length === 0) return healthy.length > 0 ? healthy : base;
  const olderServes = healthy.some((c) => c.release !== release.number);
  return olderServes ? healthy : union(healthy, ready);
}

/** A proxy that lost its table routes nothing: what served last should serve again, of one release only. */
function servedBefore(release: Release, live: readonly ObservedContainer[]): readonly ObservedContainer[] {
  const served = live.filter((c) => c.served);
  const healthy = served.filter((c) => c.health !== 'unhealthy');
  const able = healthy.length > 0 ? healthy : served;
  const isBack = able.some((c) => c.release === release.number);
  const last = isBack ? release.number : Math.max(...able.map((c) => c.release));
  return able.filter((c) => c.release === last);
}

function preferRouted(containers: readonly ObservedContainer[]): readonly ObservedContainer[] {
  return [...containers.filter((c) => c.routed), ...containers.filter((c) => !c.routed)];
}

function union(
  a: readonly ObservedContainer[],
  b: readonly ObservedContainer[],
): readonly ObservedContainer[] {
  return [...a, ...b.filter((c) => !a.includes(c))];
}

function routing(
  desired: Desired,
  release: Release,
  observed: Observed,
  serving: readonly ObservedContainer[],
): Plan {
  const served = serving[0]?.release;
  const listeners = listenersFor(served, desired, release, observed);
  const nothingYet = serving.length === 0 && observed.listeners.length === 0;
  if (nothingYet) return [];
  const now = observed.containers.filter((c) => c.routed);
  if (sameContainers(now, serving) && sameListeners(listeners, observed.listeners)) return [];
  return [
    {
      kind: 'route',
      component: desired.component,
      containers: serving.map((c) => c.id),
      release: served ?? release.number,
      listeners,
      why: routeReason(release, now, serving),
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
  if (served === undefined || served === release.number) return release.listeners;
  if (served === previous?.number) return previous.listeners;
  return observed.listeners.length > 0 ? observed.listeners : release.listeners;
}

function sameContainers(a: readonly ObservedContainer[], b: readonly ObservedContainer[]): boolean {
  return a.length === b.length && a.every((c) => b.includes(c));
}

function routeReason(
  release: Release,
  now: readonly ObservedContainer[],
  serving: readonly ObservedContainer[],
): string {
  const gone = now.filter((c) => !serving.includes(c));
  if (serving.length === 0) return 'nothing that could serve is alive';
  if (now.length === 0)
    return `${count(serving.length, 'container')} of release ${serving[0]?.release} ready`;
  if (sameContainers(now, serving)) return 'the listeners changed';
  const dead = gone.filter((c) => c.state !== 'running').length;
  const bad = gone.filter((c) => c.health === 'unhealthy').length;
  if (dead > 0) return `${count(dead, 'container')} died`;
  if (bad > 0) return `${count(bad, 'container')} unhealthy`;
  return `release ${release.number} is ready`;
}

function proveRelease(desired: Desired, release: Release, ready: readonly ObservedContainer[]): Action {
  return {
    kind: 'prove-release',
    component: desired.component,
    release: release.number,
    why: `${count(ready.length, 'container')} ready and routed`,
  };
}

function failRelease(desired: Desired, release: Release, failed: ObservedContainer): Action {
  return {
    kind: 'fail-release',
    component: desired.component,
    release: release.number,
    container: failed.id,
    why: `container ${short(failed.id)} ${failReason(release, failed)}`,
  };
}

function failReason(release: Release, failed: ObservedContainer): string {
  if (failed.state === 'exited') return `exited before all of release ${release.number} was ready`;
  if (failed.readiness === 'late') {
    return `was not ready within ${release.component.readyTimeoutMs} ms; ${failed.saw}`;
  }
  return `became unhealthy before all of release ${release.number} was ready; ${failed.saw}`;
}

/** Brings the release's containers up: pull, create, start, and wait for what comes up. */
function starting(
  desired: Desired,
  release: Release,
  observed: Observed,
  current: readonly ObservedContainer[],
): Plan {
  const { component } = desired;
  const created = current.filter((c) => c.state === 'created' && c.readiness !== 'late');
  const pending = current.filter((c) => c.state === 'running' && c.readiness === 'pending');
  const hopeful = current.filter((c) => isReady(c) || created.includes(c) || pending.includes(c));
  const missing = release.component.instances - hopeful.length;
  const ready = hopeful.length - created.length - pending.length;
  return [
    ...created.map((c): Action => {
      return { kind: 'start-container', component, container: c.id, why: `created for release ${c.release}` };
    }),
    ...(missing > 0 ? creating(desired, release, observed, { ready, missing }) : []),
    ...pending.map((c): Action => {
      return {
        kind: 'wait',
        component,
        for: 'ready',
        container: c.id,
        until: c.readyBy,
        why: `${short(c.id)} is not ready yet: ${c.saw}`,
      };
    }),
  ];
}

function creating(
  desired: Desired,
  release: Release,
  observed: Observed,
  { ready, missing }: { readonly ready: number; readonly missing: number },
): Plan {
  const { component } = desired;
  const { instances } = release.component;
  const down = instances - ready;
  // When most fail together the cause is likely outside of them: replace one, and see.
  const oneAtATime = release.proven && down > 1 && down * 2 > instances;
  if (oneAtATime && missing < down) return [];
  if (observed.startAfter > observed.now) {
    const why = `the last replacement failed; next try in ${seconds(observed.startAfter - observed.now)}`;
    return [{ kind: 'wait', component, for: 'backoff', until: observed.startAfter, why }];
  }
  if (!observed.imagePresent) {
    return [
      { kind: 'pull-image', component, image: release.image, why: 'this host does not have the image' },
    ];
  }
  const why = `${missing} of ${instances} missing${oneAtATime ? ', one at a time' : ''}`;
  const create: Action = { kind: 'create-container', component, release: release.number, why };
  return Array.from({ length: oneAtATime ? 1 : missing }, () => create);
}

/** What must go, one step each: everything that neither serves nor is on its way up. */
function leaving(
  desired: Desired,
  observed: Observed,
  release: Release,
  serving: readonly ObservedContainer[],
  complete: boolean,
): Plan {
  const why = `release ${release.number} ${complete ? 'serves' : 'is wanted'}`;
  return observed.containers
    .filter((c) => !serving.includes(c))
    .filter((c) => (complete && observed.heals) || !mayStillServe(c, release))
    .flatMap((c) => leave(desired, observed, c, why));
}

/** On its way up, or a spare that is not in the way: a monitor may have begun to replace what it found unhealthy. */
function mayStillServe(c: ObservedContainer, release: Release): boolean {
  return c.release === release.number && !isLeaving(c) && !hasFailed(c);
}

function planGone(desired: Desired, observed: Observed): Plan {
  const { component } = desired;
  const routed = observed.containers.some((c) => c.routed) || observed.listeners.length > 0;
  const why = desired.status === 'killed' ? 'kill was asked for' : 'stop was asked for';
  const unroute: Action = {
    kind: 'route',
    component,
    containers: [],
    release: undefined,
    listeners: [],
    why,
  };
  return [
    ...(routed ? [unroute] : []),
    ...observed.containers.flatMap((c) =>
      desired.status === 'killed' ? kill(component, c, why) : leave(desired, observed, c, why),
    ),
  ];
}

function kill(component: string, c: ObservedContainer, why: string): Plan {
  if (c.busy && c.state !== 'running') return [busy(component, c)];
  if (c.state !== 'running') return [{ kind: 'remove-container', component, container: c.id, why }];
  return [{ kind: 'kill-container', component, container: c.id, why }];
}

/** The next step of a container's way out: drain, signals, checks, stop, remove. */
function leave(desired: Desired, observed: Observed, c: ObservedContainer, why: string): Plan {
  const { component } = desired;
  const on = <Kind extends string>(kind: Kind, reason: string) => ({
    kind,
    component,
    container: c.id,
    why: reason,
  });
  if (c.busy) return [busy(component, c)];
  if (c.state === 'exited') {
    return [
      diedByItself(c, desired) ? on('remove-failed', 'it exited') : on('remove-container', 'it has exited'),
    ];
  }
  if (c.state === 'created') return [on('remove-container', 'it never ran')];
  if (c.drain === undefined) return [on('drain', drainReason(c, why))];
  if (!c.served && c.drain.connections === 0) return [on('stop-container', 'it never served')];
  if (!c.drain.signalled) return [on('send-signals', 'its drain began')];
  if (c.drain.mayStop) return [on('stop-container', 'nothing holds it')];
  if (c.drain.deadline !== undefined && c.drain.deadline <= observed.now) {
    return [on('stop-container', `the drain timeout passed; ${c.drain.heldBy}`)];
  }
  return [
    { ...on('wait', `${short(c.id)} drains: ${c.drain.heldBy}`), for: 'drain', until: c.drain.deadline },
  ];
}

function drainReason(c: ObservedContainer, why: string): string {
  if (c.readiness === 'late') return `not ready in time: ${c.saw}`;
  return c.health === 'unhealthy' ? `unhealthy: ${c.saw}` : why;
}

/** Nobody asked it to go: how it ended is worth telling. What made its release fail has been told already. */
function diedByItself(c: ObservedContainer, { status, release }: Desired): boolean {
  return c.drain === undefined && (c.served || (status === 'ready' && c.release === release?.number));
}

function busy(component: string, c: ObservedContainer): Action {
  return {
    kind: 'wait',
    component,
    for: 'busy',
    container: c.id,
    until: undefined,
    why: `${short(c.id)} is being stopped`,
  };
}

/** The first twelve characters of a container's id, as Docker shows it. */
export function short(id: ContainerId): string {
  return id.slice(0, 12);
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
