/**
 * A release that is tried out first: some of its containers get a share of the new work beside the release before it,
 * which is kept up as if nothing were under way, until the counts of both say what becomes of it. Pure.
 *
 * INVARIANT: until it is promoted, nothing that served before it leaves because of it.
 */
import type { CanaryTerms } from '../../config/project.ts';
import { type Action, type Plan, short } from './action.ts';
import { canarySize, judge, withoutGivenUp } from './canary.ts';
import { leaving } from './leaving.ts';
import { chooseServing, preferRouted, routing } from './serving.ts';
import { isLeaving, isReady, isUnwell } from './standing.ts';
import { starting } from './starting.ts';
import type { Desired, Observed, ObservedContainer, Release } from './state.ts';

export interface Trial {
  readonly terms: CanaryTerms;
  /** What it is compared with, and goes back to. */
  readonly previous: Release;
  /** Epoch milliseconds; undefined: it has not begun. */
  readonly since: number | undefined;
}

/**
 * The trial that the desired release is in, or is to begin with; undefined: none. One that has begun goes on whatever
 * happens to what served beside it. It does not begin where the release before does not serve, nor where the new containers could not
 * take what comes in through the ports of the old ones.
 */
export function trialOf(desired: Desired, observed: Observed): Trial | undefined {
  const { release, previous, canary } = desired;
  const terms = release?.component.update.canary;
  if (release === undefined || release.proven || terms === undefined) return undefined;
  if (previous === undefined || canary?.promoted === true) return undefined;
  // Where none is to be, nothing can be tried out.
  if (release.component.instances === 0) return undefined;
  const mayBegin =
    isServing(previous, release, withoutGivenUp(desired, observed)) && takesWhatComesTo(previous, release);
  return canary === undefined && !mayBegin ? undefined : { terms, previous, since: canary?.since };
}

/** The previous release alone; a proxy that lost its table routes nothing. */
function isServing(previous: Release, release: Release, containers: readonly ObservedContainer[]): boolean {
  const live = containers.filter((c) => c.state === 'running' && c.served && !isLeaving(c));
  const routed = live.filter((c) => c.routed && c.release !== release.number);
  const its = live.filter((c) => c.release === previous.number);
  return its.length > 0 && routed.every((c) => its.includes(c));
}

function takesWhatComesTo(previous: Release, { listeners }: Release): boolean {
  return previous.listeners.every((old) =>
    listeners.some(
      (l) =>
        l.address === old.address &&
        l.port === old.port &&
        l.kind === old.kind &&
        l.containerPort === old.containerPort,
    ),
  );
}

/** `current`: the release's containers, none of which has failed. */
export function trying(
  desired: Desired,
  release: Release,
  trial: Trial,
  observed: Observed,
  current: readonly ObservedContainer[],
): Plan {
  const { terms, previous, since } = trial;
  const size = canarySize(terms, release.component.instances);
  const canary = preferRouted(current.filter(isReady)).slice(0, size);
  const isUp = canary.length >= size;
  const end = since === undefined ? undefined : ending(desired, release, trial, observed, { current, isUp });
  if (end !== undefined) return [end];

  const before = keepingUp(desired, previous, observed, current);
  const serving = isUp || since !== undefined ? [...before.serving, ...canary] : before.serving;
  return [
    ...routing(desired, release, observed, serving),
    ...(isUp ? [] : startingSome(desired, release, observed, { current, size })),
    ...before.plan,
    ...(isUp && since !== undefined ? [watching(desired, release, terms, since)] : []),
  ];
}

/** What the trial comes to now; undefined: it goes on. */
function ending(
  desired: Desired,
  release: Release,
  { terms, previous, since = 0 }: Trial,
  { now, answers }: Observed,
  { current, isUp }: { readonly current: readonly ObservedContainer[]; readonly isUp: boolean },
): Action | undefined {
  const { component } = desired;
  const unwell = current.find(isUnwell);
  const verdict = judge(terms, previous.number, answers, { since, now });
  const container = unwell?.id ?? current.find((c) => c.routed)?.id;
  const failed = { kind: 'fail-release', component, release: release.number } as const;
  if (unwell !== undefined) {
    const why = `container ${short(unwell.id)} became unhealthy while it was tried out; ${unwell.saw}`;
    return { ...failed, container: unwell.id, why };
  }
  if (verdict.kind === 'bad' && container !== undefined) return { ...failed, container, why: verdict.why };
  if (verdict.kind !== 'promoted' || !isUp) return undefined;
  return { kind: 'promote-release', component, release: release.number, why: verdict.why };
}

export interface KeptUp {
  readonly serving: readonly ObservedContainer[];
  readonly plan: Plan;
}

/** The release before, as if it were what is wanted: it is healed, and what is none of it leaves. */
export function keepingUp(
  desired: Desired,
  previous: Release,
  observed: Observed,
  current: readonly ObservedContainer[],
): KeptUp {
  const wanted: Desired = { ...desired, release: previous, previous: undefined, canary: undefined };
  const containers = observed.containers.filter((c) => !current.includes(c));
  // That it has the image is known of the other release only; this one runs here.
  const world: Observed = { ...observed, containers, imagePresent: true };
  const its = containers.filter((c) => c.release === previous.number && !isLeaving(c));
  const ready = its.filter(isReady);
  const complete = ready.length >= previous.component.instances;
  const able = withoutGivenUp(desired, observed).filter((c) => !current.includes(c));
  const serving = chooseServing(wanted, previous, able, { ready, complete });
  return {
    serving,
    plan: [
      ...(complete ? [] : starting(wanted, previous, world, its)),
      ...leaving(wanted, world, previous, { serving, complete }),
    ],
  };
}

function startingSome(
  desired: Desired,
  release: Release,
  observed: Observed,
  { current, size }: { readonly current: readonly ObservedContainer[]; readonly size: number },
): Plan {
  const some = { ...release, component: { ...release.component, instances: size } };
  const why = `release ${release.number} is tried out first`;
  return starting(desired, some, { ...observed, startAfter: 0, failures: 0 }, current).map((action) =>
    action.kind === 'create-container' ? { ...action, why } : action,
  );
}

function watching({ component }: Desired, { number }: Release, terms: CanaryTerms, since: number): Action {
  const until = since + terms.durationMs;
  const why = `release ${number} is tried out until ${new Date(until).toISOString()}`;
  return { kind: 'wait', component, for: 'canary', until, why };
}
