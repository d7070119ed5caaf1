/** The plan of a release that is tried out first (`update.canary`), as sentences; and the judgement it goes by. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type CanaryAnswers,
  canaryPercent,
  canarySize,
  judge,
  splitOf,
} from '../../../src/agent/plan/canary.ts';
import { explain } from '../../../src/agent/plan/explain.ts';
import { forecast } from '../../../src/agent/plan/forecast.ts';
import type { Desired, Observed, ObservedContainer, Release } from '../../../src/agent/plan/state.ts';
import type { CanaryTerms } from '../../../src/config/project.ts';
import { bucketOf } from '../../../src/proxy/backends/latency.ts';
import type { AnswerCounts } from '../../../src/proxy/control/protocol.ts';
import {
  component,
  draining,
  exited,
  expectPlan,
  late,
  NOW,
  PORT_80,
  PORT_81,
  proven,
  ready,
  release,
  seen,
  serving,
  starting,
  unhealthy,
  wanted,
} from '../builders.ts';

const TERMS: CanaryTerms = { percent: 10, durationMs: 60_000, maxErrorRate: 0.01 };
const END = new Date(NOW + 60_000).toISOString();

function counted(requests: number, errors = 0, tookMs = 1): AnswerCounts {
  const latency = Array.from({ length: bucketOf(tookMs) + 1 }, () => 0);
  latency[bucketOf(tookMs)] = requests;
  return { requests, errors, latency };
}

function answers(canary: AnswerCounts, others = counted(700)): CanaryAnswers {
  return { canary, others };
}

describe('the size of a canary', () => {
  test('is what was asked for, at most all of the release', () => {
    assert.equal(canarySize({ ...TERMS, instances: 2 }, 5), 2);
    assert.equal(canarySize({ ...TERMS, instances: 9 }, 5), 5);
  });

  test('is the share of all containers, rounded up', () => {
    assert.deepEqual(
      [1, 10, 11, 30].map((all) => canarySize(TERMS, all)),
      [1, 1, 2, 3],
    );
  });

  test('its share is what was asked for, else what it is of all that serve', () => {
    const { percent: _, ...rest } = TERMS;
    assert.equal(canaryPercent(TERMS, 5, 5), 10);
    assert.equal(canaryPercent({ ...rest, instances: 1 }, 1, 3), 25);
    assert.equal(canaryPercent({ ...rest, instances: 1 }, 1, 1000), 1);
    assert.equal(canaryPercent({ ...rest, instances: 1 }, 1, 0), 99);
  });
});

describe('the judgement of a canary', () => {
  const at = (now: number, seen: CanaryAnswers | undefined, terms = TERMS) =>
    judge(terms, 3, seen, { since: NOW, now });
  const soon = NOW + 1;
  const over = NOW + 60_000;
  const watching = { kind: 'watching', until: over };

  test('errors above its bound and above those of the release before end it at once', () => {
    const why = '12 of 80 requests failed (15 %), release 3: 0 of 700';
    assert.deepEqual(at(soon, answers(counted(80, 12))), { kind: 'bad', why });
  });

  test('so few requests say nothing yet', () => {
    assert.deepEqual(at(soon, answers(counted(19, 19))), watching);
    assert.equal(at(soon, answers(counted(20, 20))).kind, 'bad');
  });

  test('errors up to the bound, or as many as before, are no reason', () => {
    assert.deepEqual(at(soon, answers(counted(100, 1))), watching);
    assert.deepEqual(at(soon, answers(counted(100, 50), counted(100, 50))), watching);
    assert.equal(at(soon, answers(counted(100, 51), counted(100, 50))).kind, 'bad');
    assert.equal(at(soon, answers(counted(100, 50), counted(0))).kind, 'bad');
  });

  test('latency is compared only if it is asked for, and only with enough answers of both', () => {
    const slow = answers(counted(100, 0, 80), counted(100, 0, 20));
    const terms = { ...TERMS, maxLatencyRatio: 2 };
    assert.deepEqual(at(soon, slow), watching);
    const why = '99 % of 100 requests were answered within 84 ms, release 3: within 21 ms';
    assert.deepEqual(at(soon, slow, terms), { kind: 'bad', why });
    assert.deepEqual(at(soon, slow, { ...terms, maxLatencyRatio: 5 }), watching);
    assert.deepEqual(at(soon, answers(counted(99, 0, 80), counted(100, 0, 20)), terms), watching);
    assert.deepEqual(at(soon, answers(counted(100, 0, 80), counted(99, 0, 20)), terms), watching);
  });

  test('a difference of less than 5 ms is noise', () => {
    const terms = { ...TERMS, maxLatencyRatio: 2 };
    assert.deepEqual(at(soon, answers(counted(500, 0, 4), counted(500, 0, 0.2)), terms), watching);
  });

  test('at the end it is promoted, and says by what', () => {
    const promoted = (why: string) => ({ kind: 'promoted', why });
    assert.deepEqual(
      at(over, answers(counted(80))),
      promoted('0 of 80 requests failed; release 3: 0 of 700'),
    );
    const few = '1 of 1 request failed, which is little to go by; release 3: 0 of 700';
    assert.deepEqual(at(over, answers(counted(1, 1))), promoted(few));
    const none = 'no http request came to it: nothing speaks against it';
    assert.deepEqual(at(over, answers(counted(0))), promoted(none));
    assert.deepEqual(at(over, undefined), promoted(none));
  });
});

function tried(number: number, over: Partial<Release> & { readonly instances?: number } = {}): Release {
  const { instances = 1, ...rest } = over;
  const base = component();
  return release(number, {
    component: component({ instances, update: { ...base.update, canary: TERMS } }),
    ...rest,
  });
}

/** Release 2 is wanted and release 1 proven; the trial has begun now unless said otherwise. */
function trial(over: Partial<Desired> = {}, instances = 1): Desired {
  const canary = { since: NOW, promoted: false };
  return { ...wanted(tried(2, { instances }), proven(1, { instances })), canary, ...over };
}

/** As the proxy splits it by itself. */
function split(desired: Desired, containers: readonly ObservedContainer[], over: Partial<Observed> = {}) {
  const routed = containers.filter((c) => c.routed);
  return seen(containers, { split: splitOf(desired, routed), ...over });
}

describe('a release with a canary', () => {
  const fresh = trial({ canary: undefined }, 3);
  const olds = ['a', 'b', 'c'].map((id) => serving(id, 1));

  test('starts only the canary, and nothing leaves', () => {
    expectPlan(fresh, seen(olds), 'start a new container of release 2 (release 2 is tried out first)');
  });

  test('waits until it is ready', () => {
    expectPlan(
      fresh,
      seen([...olds, starting('d', 2)]),
      'wait for ready (d is not ready yet: nothing listens)',
    );
  });

  test('gets its share beside all that served', () => {
    expectPlan(
      fresh,
      seen([...olds, ready('d', 2)]),
      'route to a, b, c, and 10 % to d (a part of it is ready to be tried out)',
    );
  });

  test('is watched until the time is over', () => {
    const desired = trial({}, 3);
    const watch = `wait for canary (release 2 is tried out until ${END})`;
    expectPlan(desired, split(desired, [...olds, serving('d', 2)]), watch);
    const well = { answers: answers(counted(400)) };
    expectPlan(desired, split(desired, [...olds, serving('d', 2)], well), watch);
  });

  test('goes on where another process began, from the same time', () => {
    const desired = trial({ canary: { since: NOW - 60_000, promoted: false } }, 3);
    expectPlan(
      desired,
      split(desired, [...olds, serving('d', 2)]),
      'promote release 2 (no http request came to it: nothing speaks against it)',
    );
  });

  test('is given up by what is counted', () => {
    const desired = trial({}, 3);
    expectPlan(
      desired,
      split(desired, [...olds, serving('d', 2)], { answers: answers(counted(80, 12)) }),
      'give up release 2 (12 of 80 requests failed (15 %), release 1: 0 of 700)',
    );
  });

  test('is given up when a container of it dies, is late or becomes unhealthy', () => {
    const desired = trial({}, 3);
    expectPlan(
      desired,
      split(desired, [...olds, exited('d', 2, { routed: true, served: true })]),
      'give up release 2 (container d exited before all of release 2 was ready)',
    );
    expectPlan(
      fresh,
      seen([...olds, late('d', 2)]),
      'give up release 2 (container d was not ready within 10000 ms; nothing listens)',
    );
    const ill = unhealthy('d', 2, { healthPolicy: 'unroute' });
    expectPlan(
      desired,
      split(desired, [...olds, ill]),
      'give up release 2 (container d became unhealthy while it was tried out; it answered 500)',
    );
  });

  test('goes on as every other release once it is promoted', () => {
    const desired = trial({ canary: { since: NOW - 60_000, promoted: true } }, 3);
    expectPlan(
      desired,
      split(desired, [...olds, serving('d', 2)]),
      'start a new container of release 2 (2 of 3 missing)',
      'start a new container of release 2 (2 of 3 missing)',
    );
    expectPlan(
      desired,
      split(desired, [...olds, serving('d', 2), ready('e', 2), ready('f', 2)]),
      'route to d, e, f (release 2 is ready)',
      'settle on release 2 (3 containers ready and routed)',
      'drain a (release 2 serves)',
      'drain b (release 2 serves)',
      'drain c (release 2 serves)',
    );
  });

  test('is not tried out where nothing serves, and not where nothing served before', () => {
    const start = 'start a new container of release 2 (3 of 3 missing)';
    expectPlan(fresh, seen([]), start, start, start);
    const first = { ...fresh, previous: undefined };
    expectPlan(first, seen([]), start, start, start);
  });

  test('is not tried out when it does not take what comes in by the old ports', () => {
    const moved = { ...PORT_80, containerPort: 9090 };
    const start = 'start a new container of release 2 (1 of 1 missing)';
    const to = (listeners: Release['listeners']) => ({
      ...trial({ canary: undefined }),
      release: tried(2, { listeners }),
    });
    expectPlan(to([moved]), seen([serving('a', 1)]), start);
    expectPlan(
      to([PORT_80, PORT_81]),
      seen([serving('a', 1)]),
      'start a new container of release 2 (release 2 is tried out first)',
    );
  });
});

describe('what serves beside a canary', () => {
  const desired = trial({}, 2);
  const watch = `wait for canary (release 2 is tried out until ${END})`;

  test('is healed', () => {
    const dead = [serving('a', 1), exited('b', 1, { served: true, routed: true }), serving('d', 2)];
    expectPlan(
      desired,
      split(desired, dead),
      'route to a, and 10 % to d (1 container died)',
      'start a new container of release 1 (1 of 2 missing)',
      'keep the last words of b and remove it (it exited)',
      watch,
    );
    const back = [serving('a', 1), ready('c', 1), serving('d', 2)];
    expectPlan(desired, split(desired, back), 'route to a, c, and 10 % to d (release 1 is ready)', watch);
  });

  test('is healed even if all of it is gone; meanwhile the canary serves', () => {
    const alone = [serving('d', 2)];
    const start = 'start a new container of release 1 (2 of 2 missing)';
    const one = 'start a new container of release 1 (2 of 2 missing, one at a time)';
    expectPlan(desired, { ...split(desired, alone), failures: 1 }, one, watch);
    assert.notEqual(start, one);
  });

  test('gets its traffic back with the canary when the proxy has lost its table', () => {
    const lost = { routed: false };
    const world = seen([serving('a', 1, lost), serving('b', 1, lost), serving('d', 2, lost)]);
    expectPlan(desired, world, 'route to a, b, and 10 % to d (a part of it is ready to be tried out)', watch);
    const promoted = { ...desired, canary: { since: NOW, promoted: true } };
    expectPlan(
      promoted,
      world,
      'route to a, b (2 containers of release 1 ready)',
      'start a new container of release 2 (1 of 2 missing)',
    );
  });

  test('stays, and the canary with it, while this host has lost its turn', () => {
    const world = [serving('a', 1), serving('b', 1), serving('d', 2)];
    const held = { mayAdvance: false };
    const wait = "wait for turn (release 2 goes on when it is this host's turn)";
    expectPlan(desired, split(desired, world, held), wait);
    const off = world.map((c) => ({ ...c, routed: false }));
    expectPlan(desired, seen(off, held), 'route to a, b (2 containers of release 1 ready)', wait);
  });

  test('serves on alone after the release was given up, and the canary drains', () => {
    const back = wanted(proven(1, { instances: 2 }));
    const world = [serving('a', 1), serving('b', 1), serving('d', 2)];
    const still = { split: { id: 'release 2', backends: ['d'], percent: 10 } };
    expectPlan(back, seen(world, still), 'route to a, b (release 1 is ready)', 'drain d (release 1 serves)');
    expectPlan(
      back,
      seen([serving('a', 1), serving('b', 1), draining('d', 2)]),
      'send the termination signals to d (its drain began)',
    );
  });
});

test('a dry run assumes that it goes well', () => {
  const words = explain(forecast(trial({ canary: undefined }), seen([serving('a', 1)])));
  const expected = [
    'start a new container of release 2 (release 2 is tried out first)',
    'wait for ready ((new 1) is not ready yet: it has just started)',
    'route to a, and 10 % to (new 1) (a part of it is ready to be tried out)',
    `wait for canary (release 2 is tried out until ${END})`,
    'promote release 2 (if nothing speaks against it)',
    'route to (new 1) (release 2 is ready)',
    'settle on release 2 (1 container ready and routed)',
    'drain a (release 2 serves)',
    'stop a (nothing holds it)',
    'remove a (it has exited)',
  ];
  const told = words.split('\n').map((line) => line.replace('web: ', ''));
  assert.deepEqual(
    told.filter((line) => expected.includes(line)),
    expected,
  );
});
