/**
 * The way out: what must go takes one step of drain, signals, checks, stop and removal at a time; what was switched
 * from may stay warm before it does. Pure.
 *
 * INVARIANT: a container that drains never gets traffic again, and is stopped only once nothing holds it.
 */
import { type Action, type Plan, short } from './action.ts';
import { hasFailed, isLeaving, isToBeReplaced, runsAlone } from './standing.ts';
import type { Desired, Observed, ObservedContainer, Release } from './state.ts';

/** What must go, one step each: everything that neither serves nor is on its way up, nor is kept warm. */
export function leaving(
  desired: Desired,
  observed: Observed,
  release: Release,
  { serving, complete }: { readonly serving: readonly ObservedContainer[]; readonly complete: boolean },
): Plan {
  const { instances } = release.component;
  const surplus = `${instances} ${instances === 1 ? 'is' : 'are'} to be here`;
  const other = `release ${release.number} ${complete ? 'serves' : 'is wanted'}`;
  const whyOf = (c: ObservedContainer) => (complete && c.release === release.number ? surplus : other);
  return observed.containers
    .filter((c) => !serving.includes(c))
    .filter((c) => (complete && observed.heals) || !mayStillServe(c, release))
    .flatMap((c) => staysWarm(desired, observed, c) ?? leave(desired, observed, c, whyOf(c)));
}

/**
 * As leaving, while the release waits for its turn: its containers are left as they are, and those of the release
 * before it too, which may have to serve.
 */
export function leavingHeld(
  desired: Desired,
  observed: Observed,
  release: Release,
  serving: readonly ObservedContainer[],
): Plan {
  const why = `release ${release.number} is wanted`;
  return observed.containers
    .filter((c) => !serving.includes(c))
    .filter((c) => c.release !== release.number || isLeaving(c))
    .filter((c) => !mayStillServe(c, desired.previous))
    .flatMap((c) => leave(desired, observed, c, why));
}

/**
 * On its way up, or a spare that is not in the way: a monitor may have begun to replace what it found unhealthy. Or
 * unhealthy, while there are not enough others: it may be all there is when another one turns out to be dead.
 */
function mayStillServe(c: ObservedContainer, release: Release | undefined): boolean {
  if (c.release !== release?.number || isLeaving(c)) return false;
  return !hasFailed(c) || (isToBeReplaced(c) && c.state === 'running' && c.served && !runsAlone(release));
}

/** Of the release before, for the case that it is wanted again soon: it runs and is asked for its health. */
function staysWarm(desired: Desired, observed: Observed, c: ObservedContainer): Plan | undefined {
  const { component, previous, keepOldMs } = desired;
  const could = c.release === previous?.number && c.state === 'running' && c.served;
  if (!could || isLeaving(c) || hasFailed(c) || mustEndFirst(desired)) return undefined;
  const until = c.routed ? observed.now + keepOldMs : c.warmUntil;
  if (until === undefined || until <= observed.now) return undefined;
  const why = `${short(c.id)} is kept warm: release ${c.release} served before`;
  return [{ kind: 'wait', component, for: 'warm', container: c.id, until, why }];
}

/** While it runs, even without traffic, the wanted one may not. */
function mustEndFirst({ release }: Desired): boolean {
  return release !== undefined && runsAlone(release);
}

export function kill(component: string, c: ObservedContainer, why: string): Plan {
  if (c.busy && c.state !== 'running') return [busy(component, c)];
  if (c.state !== 'running') return [{ kind: 'remove-container', component, container: c.id, why }];
  return [{ kind: 'kill-container', component, container: c.id, why }];
}

/** The next step of a container's way out: drain, signals, checks, stop, remove. */
export function leave(desired: Desired, observed: Observed, c: ObservedContainer, why: string): Plan {
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
  return isToBeReplaced(c) ? `unhealthy: ${c.saw}` : why;
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
