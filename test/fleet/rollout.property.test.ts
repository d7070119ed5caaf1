/**
 * Steps for random worlds, also such as nobody meant: whatever etcd says and however a host stands, there is a step,
 * the same one each time, and it keeps the promises. GANTRYD_SEED repeats one world, GANTRYD_WORLDS sets how many.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Here,
  mayAdvance,
  nextStep,
  type Step,
  type Turn,
  type Wanted,
} from '../../src/fleet/rollout.ts';
import { type Dice, diceOf } from '../campaign/dice.ts';
import { desiredOf, NOW, queueOf, releaseOf, rolloutOf } from './rollout-builders.ts';

const WORLDS = Number(process.env.GANTRYD_WORLDS ?? 50_000);
const { GANTRYD_SEED } = process.env;
const seeds =
  GANTRYD_SEED === undefined ? Array.from({ length: WORLDS }, (_, i) => i + 1) : [Number(GANTRYD_SEED)];

const seenKinds = new Set<string>();

test('every world has its step, which keeps the promises', () => {
  for (const seed of seeds) {
    const [wanted, here] = worldOf(diceOf(seed));
    const step = nextStep(wanted, here);
    seenKinds.add(step.kind === 'wait' ? `wait for ${step.for}` : step.kind);
    try {
      assert.deepEqual(nextStep(structuredClone(wanted), structuredClone(here)), step);
      keepsPromises(wanted, here, step);
    } catch (error) {
      const world = JSON.stringify({ wanted, here, step }, undefined, 1);
      throw new Error(`GANTRYD_SEED=${seed}: ${(error as Error).message}\n${world}`, { cause: error });
    }
  }
});

test('the worlds are wild enough for every step', { skip: seeds.length < 1_000 }, () => {
  const steps = [
    'take-back',
    'follow-status',
    'learn-release',
    'prepare',
    'queue',
    'unqueue',
    'open',
    'adopt',
  ];
  const ends = ['watch-again', 'settle', 'complete', 'fail'];
  const waits = ['etcd', 'intent', 'image', 'fleet', 'turn', 'links', 'ready', 'monitor', 'drain'];
  const all = [...steps, ...ends, ...waits.map((w) => `wait for ${w}`)];
  assert.deepEqual([...seenKinds].sort(), all.sort());
});

/** Of what it would be easy to do without, nothing is done. */
test('no step comes of what is absent', () => {
  for (const seed of seeds.filter((_, i) => i % 5 === 0)) {
    const [wanted, here] = worldOf(diceOf(seed));
    const isHeld = here.proven || here.memory?.settled === here.memory?.generation;
    const step = nextStep({ ...wanted, desired: undefined, rollout: undefined, release: undefined }, here);
    if (isHeld || !here.returns) assert.ok(step.kind === 'wait', `GANTRYD_SEED=${seed}: ${step.kind}`);
    const blind = nextStep({ ...wanted, current: false }, here);
    assert.ok(['wait', 'take-back'].includes(blind.kind), `GANTRYD_SEED=${seed}: ${blind.kind}`);
    const lost = nextStep({ ...wanted, rollout: undefined }, { ...here, serves: true });
    assert.notEqual(lost.kind, 'adopt', `GANTRYD_SEED=${seed}`);
  }
});

function keepsPromises(wanted: Wanted, here: Here, step: Step): void {
  const followed = here.memory?.generation ?? 0;
  const isUnproven =
    here.memory !== undefined &&
    here.memory.settled !== followed &&
    here.status === 'ready' &&
    !here.proven &&
    here.returns;
  const newer = wanted.current && (wanted.desired?.value.generation ?? 0) > followed;
  if (step.kind === 'take-back') assert.ok(isUnproven, 'only what did not serve is taken back');
  if (isUnproven && here.lease === undefined) assert.equal(step.kind, 'take-back');
  if (isUnproven && newer) assert.equal(step.kind, 'take-back');
  if (step.kind === 'follow-status') {
    const { generation = 0, status } = wanted.desired?.value ?? {};
    const isOther = generation === followed && here.status !== status;
    assert.ok(newer || isOther, 'only a newer change stops anything');
  }
  if (step.kind === 'wait')
    assert.ok(step.until === undefined || step.until > here.now, 'a wait that is over');
  if (!wanted.current) assert.ok(['wait', 'take-back'].includes(step.kind), 'etcd is away');
  if (step.kind === 'adopt') keepsTurns(wanted, here, step.proven);
  if (['open', 'complete', 'fail'].includes(step.kind)) {
    const { desired, rollout } = wanted;
    assert.equal(rollout?.value.generation, desired?.value.generation, 'a decision on another change');
    const ended = ['done', 'failed', 'superseded'].includes(rollout?.value.state ?? 'done');
    assert.ok(!ended, 'a decision on what has ended');
  }
  if (step.kind === 'settle') assert.ok(here.arrived && (here.proven || here.status !== 'ready'));
  if (step.kind === 'queue') assert.ok(here.lease !== undefined, 'a turn without a lease');
  if (mayAdvance(wanted, { ...here, generation: followed }) && here.returns) {
    const own = ownTurn(wanted, here);
    assert.ok(own !== undefined && own.generation === followed, 'on without a turn');
  }
}

function keepsTurns(wanted: Wanted, here: Here, proven: boolean): void {
  const { desired, rollout } = wanted;
  assert.ok(wanted.release !== undefined && desired?.value.status === 'ready');
  assert.ok(desired.value.generation >= (here.memory?.generation ?? 0), 'an older change is followed');
  const ours = rollout?.value.generation === desired.value.generation ? rollout.value : undefined;
  if (proven) {
    const served = ours?.kind === 'rollback' || ours?.state === 'done';
    assert.ok(served || !here.serves, 'what may have served nowhere replaces what serves');
    return;
  }
  assert.equal(ours?.state, 'running');
  const own = ownTurn(wanted, here);
  assert.ok(own !== undefined && own.generation === desired.value.generation, 'no turn');
  const place = wanted.turns.indexOf(own);
  assert.ok(!here.serves || place < wanted.release.spec.update.maxParallel, 'out of turn');
}

function ownTurn(wanted: Wanted, here: Here): Turn | undefined {
  if (here.lease === undefined) return undefined;
  return wanted.turns.find((t) => t.host === here.host && t.lease === here.lease);
}

function worldOf(dice: Dice): [Wanted, Here] {
  const maybe = <T>(value: T, often = 8): T | undefined => (dice.below(often) === 0 ? undefined : value);
  const generation = 4 + dice.below(3);
  const status = dice.of(['ready', 'ready', 'ready', 'ready', 'stopped', 'killed'] as const);
  const desired = desiredOf({ generation, status, release: 2 });
  const rollout = rolloutOf({
    ...{ generation: dice.of([generation, generation, generation, 4 + dice.below(3)]), from: dice.below(2) },
    kind: dice.of(['update', 'update', 'update', 'rollback'] as const),
    state: dice.of([
      'preparing',
      'running',
      'running',
      'running',
      'paused',
      'done',
      'failed',
      'superseded',
    ] as const),
    attempt: 1 + dice.below(2),
  });
  const failure = { host: dice.of(['a', 'b']), release: 2, why: 'it failed', logs: [], at: '' };
  const turns = ['a', 'b', 'c'].flatMap((host) =>
    dice.below(3) === 0
      ? []
      : [
          {
            ...{ host, generation: dice.of([generation, generation, generation, 4 + dice.below(3)]) },
            ...{ attempt: dice.of([rollout.attempt, rollout.attempt, 1]), createRevision: dice.below(1_000) },
            lease: dice.of([`lease-${host}`, `lease-${host}`, 'lease-before']),
          },
        ],
  );
  turns.sort((x, y) => x.createRevision - y.createRevision);
  const current = dice.below(8) > 0;
  const wanted: Wanted = {
    ...{ current, trouble: current ? undefined : maybe('no member answers'), turns: queueOf(...turns) },
    ...{ scale: undefined, shares: undefined },
    desired: maybe({ value: desired, modRevision: 51 }),
    rollout: maybe({ value: dice.below(3) === 0 ? { ...rollout, failure } : rollout, modRevision: 51 }),
    behind: dice.below(6) === 0 ? ['db'] : [],
    broken: dice.below(12) === 0 ? ['db'] : [],
    release: maybe(releaseOf(2, { maxParallel: 1 + dice.below(2), monitorMs: dice.of([0, 10_000]) })),
  };
  return [wanted, hereOf(dice, generation, rollout.attempt, maybe)];
}

function hereOf(
  dice: Dice,
  wanted: number,
  attempt: number,
  maybe: <T>(value: T, often?: number) => T | undefined,
): Here {
  const generation = dice.of([wanted, wanted, 4 + dice.below(3)]);
  const failed = { generation: dice.of([generation, 4]), attempt: 1 + dice.below(2), why: 'it failed' };
  const memory = {
    ...{ generation, attempt: 1 + dice.below(2), settled: dice.of([4, generation, 0]) },
    ...(dice.below(4) === 0 ? { failed } : {}),
    ...(dice.below(2) === 0 ? { provenAt: NOW - dice.of([0, 1_000, 20_000]) } : {}),
  };
  const state = dice.of(['done', 'done', 'done', 'working', 'retrying', 'refused'] as const);
  const retryAt = state === 'done' || state === 'working' ? {} : { retryAt: NOW + dice.of([-1, 0, 500]) };
  const at = { generation: dice.of([wanted, wanted, wanted, 4]), attempt: dice.of([attempt, attempt, 1]) };
  const status = dice.of(['ready', 'ready', 'ready', 'stopped', 'killed'] as const);
  return {
    ...{
      host: 'a',
      now: NOW,
      lease: maybe('lease-a'),
      memory: maybe(memory),
      status,
      release: 1 + dice.below(2),
    },
    ...{ proven: dice.below(2) === 0, returns: dice.below(2) === 0, serves: dice.below(3) > 0 },
    ...{ arrived: dice.below(2) === 0, failing: undefined },
    ...(dice.below(5) === 0 ? { failing: 'it became unhealthy' } : {}),
    reason: maybe('it was taken back', 2),
    preparation: maybe({ ...at, state, why: 'so it is', ...retryAt }),
  };
}
