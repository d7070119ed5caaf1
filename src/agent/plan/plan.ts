/**
 * The heart of gantryd: from what is wanted and what is there to what is done next. Pure, total,
 * deterministic; an empty plan means converged. Every action says why. Nothing here waits, asks or
 * remembers: after a plan is executed the world is observed again and planned again.
 *
 * INVARIANT: the last container that serves is never unrouted while its successor is not ready, but for one that must
 * never run beside its successor (`update.order: stop-first`).
 * INVARIANT: a container that drains never gets traffic again, and is stopped only once nothing holds it.
 * INVARIANT: a release that is not proven is created, started, routed to, proven and failed only while it may advance.
 */
import { type Action, count, type Plan, short } from './action.ts';
import { withoutGivenUp } from './canary.ts';
import { kill, leave, leaving, leavingHeld } from './leaving.ts';
import { chooseAlone, chooseHeld, chooseServing, routing } from './serving.ts';
import { hasFailed, isLeaving, isReady, runsAlone } from './standing.ts';
import { starting } from './starting.ts';
import type { Desired, Observed, ObservedContainer, Release } from './state.ts';
import { type KeptUp, keepingUp, trialOf, trying } from './trying.ts';

export { type Action, type Plan, short } from './action.ts';

export function plan(desired: Desired, observed: Observed): Plan {
  const { status, release } = desired;
  if (status !== 'ready' || release === undefined) return planGone(desired, observed);
  if (!release.proven && !observed.mayAdvance) return planHeld(desired, release, observed);
  return planReady(desired, release, observed);
}

function planReady(desired: Desired, release: Release, seen: Observed): Plan {
  // What another release failed of is no reason to let this one wait.
  const observed = release.proven ? seen : { ...seen, startAfter: 0, failures: 0 };
  const current = observed.containers.filter((c) => c.release === release.number && !isLeaving(c));
  const failed = current.find(hasFailed);
  if (failed !== undefined && !release.proven) return [failRelease(desired, release, failed)];

  const trial = trialOf(desired, observed);
  if (trial !== undefined) return trying(desired, release, trial, seen, current);

  const ready = current.filter(isReady);
  const complete = ready.length >= release.component.instances;
  const serving = runsAlone(release)
    ? chooseAlone(desired, release, observed, { ready, complete, current })
    : chooseServing(desired, release, withoutGivenUp(desired, observed), { ready, complete });
  const before =
    serving.length === 0 && !complete ? bringingBack(desired, release, seen, current) : undefined;
  return [
    ...routing(desired, release, observed, before?.serving ?? serving),
    ...(complete && !release.proven ? [proveRelease(desired, release, ready)] : []),
    ...(complete ? [] : starting(desired, release, observed, current)),
    ...(before?.plan ?? leaving(desired, observed, release, { serving, complete })),
  ];
}

/** The release before, when the last of it died while the desired one comes up, which may take its time or fail. */
function bringingBack(
  { previous, ...desired }: Desired,
  release: Release,
  observed: Observed,
  current: readonly ObservedContainer[],
): KeptUp | undefined {
  if (release.proven || runsAlone(release) || !observed.heals || previous === undefined) return undefined;
  if (!observed.containers.some((c) => c.release === previous.number && !isLeaving(c))) return undefined;
  return keepingUp({ ...desired, previous }, previous, observed, current);
}

/** It is not this host's turn, or not any more: what serves goes on, and whatever there is of the release waits. */
function planHeld(desired: Desired, release: Release, observed: Observed): Plan {
  const { component, previous } = desired;
  const serving = chooseHeld(desired, release, withoutGivenUp(desired, observed));
  const why = `release ${release.number} goes on when it is this host's turn`;
  return [
    ...routing(desired, previous ?? release, observed, serving),
    ...leavingHeld(desired, observed, release, serving),
    { kind: 'wait', component, for: 'turn', until: undefined, why },
  ];
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
