/**
 * Plans against thousands of small worlds full of faults. After every single action the promises hold; once
 * the faults end the world comes to rest as wanted. GANTRYD_SEED repeats one world, GANTRYD_WORLDS sets how many.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canarySize } from '../../../src/agent/plan/canary.ts';
import { explain, explainAction } from '../../../src/agent/plan/explain.ts';
import { forecast } from '../../../src/agent/plan/forecast.ts';
import { type Action, type Plan, plan } from '../../../src/agent/plan/plan.ts';
import type { Desired, Observed, ObservedContainer } from '../../../src/agent/plan/state.ts';
import { sameListeners } from '../../../src/proxy/tables/routes.ts';
import { type SimContainer, seeded, servingWorld, World } from '../world.ts';

const WORLDS = Number(process.env.GANTRYD_WORLDS ?? 2000);
const STORMY_ROUNDS = 30;
const CALM_ROUNDS = 150;

const seeds =
  process.env.GANTRYD_SEED === undefined
    ? Array.from({ length: WORLDS }, (_, i) => i + 1)
    : [Number(process.env.GANTRYD_SEED)];

const seenKinds = new Set<Action['kind']>();
const seenWaits = new Set<string>();

test('every plan keeps the promises through faults, and leads to what is wanted once they end', () => {
  for (const seed of seeds) {
    withTrace(seed, (world) => {
      for (let round = 0; round < STORMY_ROUNDS; round++) stormyRound(world);
      world.calm();
      settle(world);
      assertAtRest(world);
    });
  }
});

test('the worlds are wild enough to call for every kind of action', { skip: seeds.length < 100 }, () => {
  const kinds: Record<Action['kind'], true> = {
    'pull-image': true,
    'create-container': true,
    'start-container': true,
    route: true,
    'promote-release': true,
    'prove-release': true,
    'fail-release': true,
    drain: true,
    'send-signals': true,
    'stop-container': true,
    'kill-container': true,
    'remove-container': true,
    'remove-failed': true,
    wait: true,
  };
  assert.deepEqual([...seenKinds].sort(), Object.keys(kinds).sort());
  assert.deepEqual([...seenWaits].sort(), ['backoff', 'busy', 'canary', 'drain', 'ready', 'turn', 'warm']);
});

test('a forecast ends, whatever the world', () => {
  for (const seed of seeds.filter((_, i) => i % 4 === 0)) {
    withTrace(seed, (world) => {
      for (let round = 0; round < STORMY_ROUNDS; round++) {
        stormyRound(world);
        if (round % 10 === 0) forecast(world.desired(), world.observe());
      }
    });
  }
});

function withTrace(seed: number, body: (world: World) => void): void {
  const random = seeded(seed);
  const world = random() < 0.5 ? new World(random) : servingWorld(random, 1 + Math.floor(random() * 4));
  world.fleet = random() < 0.5;
  try {
    body(world);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    const path = world.trace.slice(-60).join('\n');
    throw new Error(`GANTRYD_SEED=${seed}: ${what}\n${path}\n${describe(world)}`, { cause: error });
  }
}

function stormyRound(world: World): void {
  if (world.chance(0.12)) world.command();
  if (world.chance(0.08)) world.scale();
  if (world.chance(0.25)) world.fault();
  if (world.fleet && world.chance(0.15)) world.passTurn();
  perform(world, true);
  world.tick(world.chance(0.1) ? 15_000 : 500);
}

/** One round of the agent: look, plan, execute, as far as it gets. */
function perform(world: World, stormy: boolean): void {
  const desired = world.desired();
  const observed = world.observe();
  const actions = plan(desired, observed);
  assert.deepEqual(plan(desired, observed), actions, 'the same world, another plan');
  assertOneStepEach(actions);
  for (const action of actions) {
    if (stormy && world.chance(0.03)) world.fault();
    if (stormy && world.chance(0.02)) world.command();
    if (stormy && world.fleet && world.chance(0.05)) world.passTurn();
    if (!world.turn && advances(desired, observed, action)) {
      world.trace.push(`! without its turn: ${explainAction(action)}`);
      return;
    }
    if (stormy && world.chance(0.03)) {
      world.trace.push(`! fails: ${explainAction(action)}`);
      return;
    }
    const half = stormy && world.chance(0.03);
    world.trace.push(`${half ? 'half of ' : ''}${explainAction(action)}`);
    act(world, desired, observed, action, half);
    if (half || (stormy && world.chance(0.03))) {
      world.crash();
      return;
    }
  }
  const sameGoal =
    world.status === desired.status && world.desired().release?.number === desired.release?.number;
  if (!world.disturbed && sameGoal) {
    assertBounded(world);
    assertOneIsWarm(world);
  }
}

/** Brings a release on that has not been settled on: what needs the host's turn. */
function advances({ release }: Desired, observed: Observed, action: Action): boolean {
  if (release === undefined || release.proven) return false;
  if (action.kind === 'create-container') return action.release === release.number;
  if (['promote-release', 'prove-release', 'fail-release'].includes(action.kind)) return true;
  const fresh = observed.containers.filter((c) => c.release === release.number && !c.routed).map((c) => c.id);
  if (action.kind === 'start-container') return fresh.includes(action.container);
  return action.kind === 'route' && action.containers.some((id) => fresh.includes(id));
}

/** A plan takes one step with a container, never two that could contradict each other. */
function assertOneStepEach(actions: Plan): void {
  const steps = actions.filter((a) => a.kind !== 'route').flatMap(named);
  assert.equal(new Set(steps).size, steps.length, `two steps at once:\n${explain(actions)}`);
}

function act(world: World, desired: Desired, observed: Observed, action: Action, half: boolean): void {
  seenKinds.add(action.kind);
  if (action.kind === 'wait') seenWaits.add(action.for);
  assertAllowed(world, desired, observed, action);
  const before = snapshot(world);
  world.execute(action, half);
  assertStillServed(world, desired, before);
  assert.equal(JSON.stringify(world.foreign), before.foreign, 'a foreign container was touched');
  for (const c of world.all) assert.ok(c.signalsGot <= 1, `${c.id} got the termination signals twice`);
}

/** What an action may never do, whatever else happens. */
function assertAllowed(world: World, desired: Desired, observed: Observed, action: Action): void {
  const known = new Set(observed.containers.map((c) => c.id));
  assert.ok(observed.mayAdvance || !advances(desired, observed, action), 'goes on without its turn');
  for (const id of named(action)) assert.ok(known.has(id), `names ${id}, which was not observed`);
  if (action.kind === 'route') {
    assertRoutable(observed, action);
    assertWholeSwitch(desired, observed, action);
  }
  if (action.kind === 'create-container') assertNotTooMany(world, observed, action.release);
  if (!('container' in action) || action.container === undefined) return;
  const target = world.containers.get(action.container);
  if (target === undefined) return;
  if (action.kind === 'drain') assertNotKept(desired, observed, target.id);
  if (action.kind === 'stop-container') assertMayStop(world, target);
  if (action.kind === 'kill-container') {
    assert.equal(desired.status, 'killed', `${target.id} is killed unasked`);
    const was = observed.containers.find((c) => c.id === target.id)?.state;
    assert.equal(was, 'running', `${target.id} is killed, which does not run`);
  }
  if (action.kind === 'remove-container' || action.kind === 'remove-failed') {
    assert.notEqual(target.state, 'running', `${target.id} removed while it runs`);
  }
}

function named(action: Action): readonly string[] {
  if (action.kind === 'route') return action.containers;
  return 'container' in action && action.container !== undefined ? [action.container] : [];
}

function assertRoutable(observed: Observed, action: Extract<Action, { kind: 'route' }>): void {
  for (const id of action.containers) {
    const c = observed.containers.find((o) => o.id === id);
    assert.equal(c?.drain, undefined, `${id} drains and is routed again`);
    assert.equal(c?.state, 'running', `${id} does not run and is routed`);
    assert.equal(c?.readiness, 'ready', `${id} is not ready and is routed`);
    assert.equal(c?.busy, false, `${id} is being stopped and is routed`);
  }
  const routed = observed.containers.filter((c) => action.containers.includes(c.id));
  assert.ok(
    new Set(routed.map((c) => c.release)).size <= (action.canary === undefined ? 1 : 2),
    'routes two releases at once',
  );
  assert.equal(new Set(action.containers).size, action.containers.length, 'routes a container twice');
  assert.ok(action.containers.length === 0 || action.listeners.length > 0, 'routes without a listener');
}

/** Whoever serves well keeps serving until all of the wanted release can. */
function assertWholeSwitch(
  desired: Desired,
  observed: Observed,
  action: Extract<Action, { kind: 'route' }>,
): void {
  if (desired.status !== 'ready' || desired.release === undefined) return;
  const wanted = desired.release;
  if (wanted.component.instances === 0) return;
  const fresh = observed.containers.filter(
    (c) => action.containers.includes(c.id) && c.release === wanted.number,
  );
  const isTried = desired.canary?.promoted === false || action.canary !== undefined;
  if (fresh.length >= wanted.component.instances && !isTried) return;
  if (isTried && !wanted.proven) assertNotAlone(observed, fresh, action);
  // While a release is to be tried out, the one before it takes over from whatever else serves.
  const healed =
    wanted.proven || wanted.component.update.canary === undefined ? [] : [desired.previous?.number];
  const isTriedNow = !wanted.proven && observed.split?.id === `release ${wanted.number}`;
  for (const c of observed.containers) {
    if (!isTriedNow && observed.split?.backends.includes(c.id) && action.containers.length > 0) continue;
    if (healed.length > 0 && c.release !== wanted.number && !healed.includes(c.release)) continue;
    if (hasEnough(desired, action, observed, c.release)) continue;
    const serves = c.routed && c.state === 'running' && c.health !== 'unhealthy' && c.drain === undefined;
    if (serves) assert.ok(action.containers.includes(c.id), `${c.id} is unrouted too early`);
  }
}

/** As many of a release serve as are to, whether it is tried out or kept up: fewer were asked for. */
function hasEnough(
  { release: tried, previous }: Desired,
  { containers }: Extract<Action, { kind: 'route' }>,
  observed: Observed,
  release: number,
): boolean {
  const its = observed.containers.filter((c) => c.release === release && containers.includes(c.id));
  const terms = tried?.component.update.canary;
  if (release === tried?.number && terms !== undefined) {
    return its.length >= canarySize(terms, tried.component.instances);
  }
  return release === previous?.number && its.length >= previous.component.instances;
}

/** What is only tried out never serves by itself while anything else could. */
function assertNotAlone(
  observed: Observed,
  fresh: readonly ObservedContainer[],
  { containers }: Extract<Action, { kind: 'route' }>,
): void {
  const able = observed.containers.some(
    (c) => c.served && !fresh.includes(c) && c.state === 'running' && !c.drain && !c.busy && !isNew(c, fresh),
  );
  assert.ok(!able || fresh.length < containers.length, 'the canary alone is to serve');
}

function isNew(c: ObservedContainer, [fresh]: readonly ObservedContainer[]): boolean {
  return c.release === fresh?.release;
}

/** What may be wanted again soon does not leave before its time, if it could serve. */
function assertNotKept(desired: Desired, observed: Observed, id: string): void {
  const c = observed.containers.find((o) => o.id === id);
  if (c === undefined || desired.status !== 'ready' || c.release !== desired.previous?.number) return;
  // Kept up while the next one is tried out: as many as it has instances, and no spare.
  if (desired.release?.proven === false && desired.release.component.update.canary !== undefined) return;
  const until = c.routed ? observed.now + desired.keepOldMs : (c.warmUntil ?? 0);
  const isKept = c.served && c.health !== 'unhealthy' && until > observed.now;
  assert.ok(!isKept, `${id} drains although it is to stay warm until ${until}`);
}

/** Of all that has served and does not, one release at most stays: the one before. */
function assertOneIsWarm(world: World): void {
  if (world.status !== 'ready' || !world.turn) return;
  const { release, previous } = world.desired();
  for (const c of world.live) {
    if (c.servedAt === undefined || c.drainSince !== undefined || c.stopsAt !== undefined) continue;
    const isOld = c.release !== release?.number && !world.routed.includes(c.id);
    if (isOld) assert.equal(c.release, previous?.number, `${c.id} is kept, but is not of the release before`);
  }
}

function assertMayStop(world: World, target: SimContainer): void {
  assert.notEqual(target.drainSince, undefined, `${target.id} is stopped without a drain`);
  const free = target.connections === 0 || world.drainTimedOut(target);
  assert.ok(free, `${target.id} is stopped with ${target.connections} open connections`);
  assert.ok(!world.routed.includes(target.id), `${target.id} is stopped while it is routed`);
}

function assertNotTooMany(world: World, observed: Observed, release: number): void {
  if (world.disturbed) return;
  const hopeless = observed.containers.filter((c) => c.health === 'unhealthy' || c.readiness === 'late');
  const failed = new Set(hopeless.map((c) => c.id));
  const up = world.all.filter(
    (c) => c.release === release && c.state !== 'exited' && c.drainSince === undefined && !failed.has(c.id),
  );
  const instances = world.instancesOf(release);
  assert.ok(up.length < instances, `creates one more than ${instances} of release ${release}`);
}

interface Snapshot {
  readonly servers: number;
  readonly foreign: string;
}

function snapshot(world: World): Snapshot {
  return { servers: servers(world).length, foreign: JSON.stringify(world.foreign) };
}

function servers(world: World): readonly SimContainer[] {
  return world.live.filter((c) => world.routed.includes(c.id));
}

/** Nobody who may serve is taken away before somebody else serves, unless the world moved under the plan. */
function assertStillServed(world: World, desired: Desired, before: Snapshot): void {
  if (world.disturbed || desired.status !== 'ready' || before.servers === 0) return;
  if (desired.release?.component.instances === 0) return;
  assert.ok(servers(world).length > 0, 'nothing serves any more');
}

/** After a whole round, whatever is neither wanted nor serving is on its way out. */
function assertBounded(world: World): void {
  const staying = world.live.filter((c) => c.drainSince === undefined && c.stopsAt === undefined);
  const { most } = world;
  // The release before is healed while the next one is tried out beside it.
  const { release } = world.desired();
  const tried = release?.proven === false && release.component.update.canary !== undefined ? most : 0;
  assert.ok(staying.length <= 2 * most + tried, `${staying.length} containers stay for ${most} instances`);
}

function settle(world: World): void {
  for (let round = 0; round < CALM_ROUNDS; round++) {
    perform(world, false);
    world.tick(500);
    if (plan(world.desired(), world.observe()).length === 0) return;
  }
  const left = explain(plan(world.desired(), world.observe()));
  assert.fail(`not at rest after ${CALM_ROUNDS} rounds; still to do:\n${left}`);
}

function assertAtRest(world: World): void {
  const { status, release } = world.desired();
  const instances = status === 'ready' ? (release?.component.instances ?? 0) : 0;
  const listeners = status === 'ready' ? (release?.listeners ?? []) : [];
  assert.equal(world.all.length, instances, 'as many containers as wanted and no others');
  for (const c of world.all) {
    assert.equal(c.state, 'running');
    assert.equal(c.release, release?.number);
    assert.ok(world.routed.includes(c.id), `${c.id} is not routed`);
  }
  assert.equal(world.routed.length, instances);
  assert.ok(sameListeners(world.listeners, listeners), 'the listeners are not those of the release');
  assert.equal(world.foreign.length, 2);
}

function describe(world: World): string {
  const table = `routed: ${world.routed.join(' ')}; wanted: ${world.status} ${world.current}`;
  return [table, ...world.all.map((c) => JSON.stringify(c))].join('\n');
}
