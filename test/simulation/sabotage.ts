/**
 * Defects put in on purpose, each where the simulation joins the pure core: a check that never fails proves nothing.
 * By default there are none.
 */
import { plan } from '../../src/agent/plan/plan.ts';
import type { ObservedContainer } from '../../src/agent/plan/state.ts';
import { mayAdvance, nextStep, type Wanted } from '../../src/fleet/rollout.ts';

export interface Sabotage {
  readonly plan: typeof plan;
  readonly nextStep: typeof nextStep;
  readonly mayAdvance: typeof mayAdvance;
  /** refuseWithoutTurn is not asked. */
  readonly noFence?: true;
  /** The table is swapped before the record says who has served. */
  readonly routesFirst?: true;
  /** What is routed to containers that are gone stays in the table when one is started. */
  readonly keepsGone?: true;
  /** Jobs begin while what they end is still routed. */
  readonly jobsFirst?: true;
}

export const NOTHING_BROKEN: Sabotage = { plan, nextStep, mayAdvance };

/** A plan that is made from what the look did not see. */
function seeing(change: (c: ObservedContainer) => ObservedContainer): typeof plan {
  return (desired, observed) => plan(desired, { ...observed, containers: observed.containers.map(change) });
}

/** A plan from which some actions are missing. */
function without(...kinds: readonly string[]): typeof plan {
  return (desired, observed) => plan(desired, observed).filter((a) => !kinds.includes(a.kind));
}

/** Every host's turn at once. */
function crowded(wanted: Wanted): Wanted {
  const { release } = wanted;
  if (release === undefined) return wanted;
  const update = { ...release.spec.update, maxParallel: 99 };
  return { ...wanted, release: { ...release, spec: { ...release.spec, update } } };
}

const isOwn = (c: ObservedContainer) => c.state === 'running' && c.drain === undefined;

/** By what is wrong: each is to be found. */
export const DEFECTS: Readonly<Record<string, Partial<Sabotage>>> = {
  'a container is taken for ready before it is': {
    plan: seeing((c) => (isOwn(c) && c.readiness === 'pending' ? { ...c, readiness: 'ready' } : c)),
  },
  'what serves is unrouted before its successor is ready': {
    plan: (desired, observed) =>
      plan(desired, observed).flatMap((a) =>
        a.kind === 'create-container' && observed.containers.some((c) => c.routed)
          ? [
              {
                kind: 'route',
                component: a.component,
                containers: [],
                release: a.release,
                listeners: [],
                why: 'early',
              },
              a,
            ]
          : [a],
      ),
  },
  'a drain ends whatever is open': {
    plan: seeing((c) => (c.drain === undefined ? c : { ...c, drain: { ...c.drain, mayStop: true } })),
  },
  'what drains may serve again': {
    plan: seeing((c) => (c.state === 'running' ? { ...c, drain: undefined } : c)),
  },
  'what died is not replaced': {
    plan: (desired, observed) =>
      plan(desired, observed).filter(
        (a) => a.kind !== 'create-container' || desired.release?.proven !== true,
      ),
  },
  'what is left over stays': { plan: without('remove-container', 'remove-failed') },
  'what is gone stays in the table when its address is given out': { keepsGone: true },
  'every host has its turn': {
    mayAdvance: () => true,
    nextStep: (wanted, here) => nextStep(crowded(wanted), here),
  },
  'nobody waits for his turn': { nextStep: (wanted, here) => nextStep(crowded(wanted), here) },
  'a rollout is never closed': {
    nextStep: (wanted, here) => {
      const step = nextStep(wanted, here);
      return step.kind === 'complete' ? { kind: 'wait', for: 'intent', why: '' } : step;
    },
  },
  'a failure is kept to oneself': {
    nextStep: (wanted, here) => {
      const step = nextStep(wanted, here);
      return step.kind === 'fail' ? { kind: 'wait', for: 'fleet', why: step.why } : step;
    },
  },
};
