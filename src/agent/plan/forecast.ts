/**
 * What a plan would lead to if every action worked: the whole way from here to converged, for
 * --dry-run. Pure: plans, assumes each action's effect on the observed world, and plans again.
 */
import { type Action, type Plan, plan } from './plan.ts';
import type { CanaryProgress, ContainerId, Desired, Observed, ObservedContainer, Release } from './state.ts';

/** More rounds than any real change takes; a forecast that needs more is a defect of the plan. */
const MAX_ROUNDS = 1000;

export interface World {
  readonly desired: Desired;
  readonly observed: Observed;
}

/** Every action on the way, in order; waiting is assumed to end well. */
export function forecast(desired: Desired, observed: Observed): Plan {
  const actions: Action[] = [];
  let world: World = { desired, observed };
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const next = plan(world.desired, world.observed);
    if (next.length === 0) return actions;
    const said = new Set(actions.map((a) => JSON.stringify(a)));
    actions.push(...next.map(assumed).filter((a) => a.kind !== 'wait' || !said.has(JSON.stringify(a))));
    world = next.reduce(assume, world);
  }
  throw new Error(`the plan of ${desired.component} does not converge`);
}

/** What is to be counted is not known yet. */
function assumed(action: Action): Action {
  return action.kind === 'promote-release' ? { ...action, why: 'if nothing speaks against it' } : action;
}

/** The world after an action that worked. */
export function assume(world: World, action: Action): World {
  switch (action.kind) {
    case 'pull-image':
      return withObserved(world, { imagePresent: true });
    case 'create-container':
      return withContainers(world, [...world.observed.containers, created(world, action.release)]);
    case 'start-container':
      return change(world, action.container, { state: 'running', saw: 'it has just started' });
    case 'route':
      return routedBy(world, action);
    case 'promote-release':
      return withCanary(world, { promoted: true });
    case 'prove-release':
      return provenBy(world, action.release);
    case 'fail-release':
      return failed(world, action.release);
    case 'drain':
      return change(world, action.container, {
        drain: {
          since: world.observed.now,
          signalled: !hasSignals(world, action.container),
          mayStop: false,
          heldBy: 'its connections',
          connections: 0,
          deadline: undefined,
        },
      });
    case 'send-signals':
      return changeDrain(world, action.container, { signalled: true });
    case 'stop-container':
    case 'kill-container':
      return change(world, action.container, { state: 'exited', routed: false });
    case 'remove-container':
    case 'remove-failed':
      return withContainers(
        world,
        world.observed.containers.filter((c) => c.id !== action.container),
      );
    case 'wait':
      return waited(world, action);
    default:
      return unknownAction(action);
  }
}

function waited(world: World, action: Extract<Action, { kind: 'wait' }>): World {
  const { container } = action;
  if (action.for === 'canary') return withObserved(world, { now: action.until ?? world.observed.now });
  if (action.for === 'backoff') return withObserved(world, { startAfter: world.observed.now });
  if (action.for === 'turn') return withObserved(world, { mayAdvance: true });
  if (container === undefined) return world;
  if (action.for === 'warm') return change(world, container, { warmUntil: world.observed.now });
  if (action.for === 'ready') return change(world, container, { readiness: 'ready' });
  if (action.for === 'busy') return change(world, container, { busy: false, state: 'exited' });
  return changeDrain(world, container, { mayStop: true });
}

function created(world: World, release: number): ObservedContainer {
  const id = nameNew(world.observed.containers);
  const hasChecks = (world.desired.release?.component.readyChecks.length ?? 0) > 0;
  return {
    id,
    name: id,
    release,
    state: 'running',
    readiness: hasChecks ? 'pending' : 'ready',
    health: 'unknown',
    healthPolicy: world.desired.release?.component.healthPolicy ?? 'replace',
    saw: 'it has just started',
    readyBy: world.observed.now + (world.desired.release?.component.readyTimeoutMs ?? 0),
    routed: false,
    served: false,
    warmUntil: undefined,
    connections: 0,
    drain: undefined,
    busy: false,
  };
}

/** A release that is neither wanted nor the one before it is taken to be like the wanted one. */
function hasSignals({ desired, observed }: World, id: ContainerId): boolean {
  const number = observed.containers.find((c) => c.id === id)?.release;
  const from = number === desired.previous?.number ? desired.previous : desired.release;
  return (from?.component.terminationSignals.length ?? 0) > 0;
}

function nameNew(containers: readonly ObservedContainer[]): ContainerId {
  const taken = new Set(containers.map((c) => c.id));
  let n = 1;
  while (taken.has(`(new ${n})`)) n++;
  return `(new ${n})`;
}

function routedBy(
  world: World,
  { listeners, containers, canary }: Extract<Action, { kind: 'route' }>,
): World {
  const swapped = withObserved(world, { listeners, split: canary, answers: undefined });
  const next = withContainers(swapped, routed(world, containers));
  return canary === undefined ? next : withCanary(next, {});
}

function withCanary(world: World, by: Partial<CanaryProgress>): World {
  const { canary = { since: world.observed.now, promoted: false } } = world.desired;
  return { ...world, desired: { ...world.desired, canary: { ...canary, ...by } } };
}

function routed(world: World, ids: readonly ContainerId[]): readonly ObservedContainer[] {
  return world.observed.containers.map((c) => {
    const on = ids.includes(c.id);
    const warmUntil = on ? undefined : c.routed ? keptUntil(world, c) : c.warmUntil;
    return { ...c, routed: on, served: c.served || on, warmUntil };
  });
}

function keptUntil({ desired, observed }: World, c: ObservedContainer): number | undefined {
  const { previous, keepOldMs } = desired;
  return keepOldMs > 0 && c.release === previous?.number ? observed.now + keepOldMs : undefined;
}

function provenBy(world: World, number: number): World {
  const { release } = world.desired;
  if (release === undefined || release.number !== number) return world;
  return { ...world, desired: { ...world.desired, release: { ...release, proven: true } } };
}

function failed(world: World, number: number): World {
  const { desired } = world;
  if (desired.release?.number !== number) return world;
  if (desired.previous === undefined) return { ...world, desired: { ...desired, status: 'stopped' } };
  const back: Release = desired.previous;
  return { ...world, desired: { ...desired, release: back, previous: undefined } };
}

function change(world: World, id: ContainerId, by: Partial<ObservedContainer>): World {
  return withContainers(
    world,
    world.observed.containers.map((c) => (c.id === id ? { ...c, ...by } : c)),
  );
}

function changeDrain(
  world: World,
  id: ContainerId,
  by: Partial<NonNullable<ObservedContainer['drain']>>,
): World {
  const drain = world.observed.containers.find((c) => c.id === id)?.drain;
  return drain === undefined ? world : change(world, id, { drain: { ...drain, ...by } });
}

function withContainers(world: World, containers: readonly ObservedContainer[]): World {
  return withObserved(world, { containers });
}

function withObserved(world: World, by: Partial<Observed>): World {
  return { ...world, observed: { ...world.observed, ...by } };
}

function unknownAction(action: never): never {
  throw new TypeError(`no effect known of ${JSON.stringify(action)}`);
}
