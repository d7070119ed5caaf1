/** What a host does as one of many: it waits for its turn, and keeps what it switched from for a while. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { plan } from '../../../src/agent/plan/plan.ts';
import type { Desired, Observed, ObservedContainer, Release } from '../../../src/agent/plan/state.ts';
import {
  created,
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
  unwanted,
  wanted,
} from '../builders.ts';

/** A look while it is not this host's turn. */
function held(containers: readonly ObservedContainer[], over: Partial<Observed> = {}): Observed {
  return seen(containers, { mayAdvance: false, ...over });
}

describe('a release without its turn', () => {
  const desired = wanted(release(2), proven(1));
  const two = wanted(release(2, { instances: 2 }), proven(1, { instances: 2 }));
  const TURN = "wait for turn (release 2 goes on when it is this host's turn)";

  test('is not begun', () => {
    expectPlan(desired, held([serving('a', 1)]), TURN);
    expectPlan(wanted(release(2)), held([]), TURN);
    expectPlan(desired, held([serving('a', 1)], { imagePresent: false }), TURN);
  });

  test('is not gone on with, wherever it is', () => {
    for (const c of [created('b', 2), starting('b', 2), ready('b', 2)]) {
      expectPlan(desired, held([serving('a', 1), c]), TURN);
    }
  });

  test('is not given up, whatever became of its containers', () => {
    for (const c of [exited('b', 2), late('b', 2), ready('b', 2, { health: 'unhealthy' })]) {
      expectPlan(desired, held([serving('a', 1), c]), TURN);
    }
  });

  test('is not settled on, although it serves', () => {
    expectPlan(desired, held([serving('a', 1, { routed: false }), serving('b', 2)]), TURN);
  });

  test('gets no traffic when what serves dies', () => {
    expectPlan(
      desired,
      held([serving('a', 1, { state: 'exited' }), ready('b', 2)]),
      'route nothing (nothing that could serve is alive)',
      'keep the last words of a and remove it (it exited)',
      TURN,
    );
  });

  test('changes no listeners, also when nothing serves any more', () => {
    const ports = wanted(release(2, { listeners: [PORT_81] }), proven(1));
    const [route] = plan(ports, held([serving('a', 1, { state: 'exited' }), ready('b', 2)]));
    assert.deepEqual(route?.kind === 'route' && [route.release, route.listeners], [1, [PORT_80]]);
    const [first] = plan(ports, held([ready('b', 2)]));
    assert.equal(first?.kind, 'wait');
  });

  test('leaves the routing among what serves to be repaired', () => {
    expectPlan(
      two,
      held([serving('a', 1), unhealthy('b', 1), starting('c', 2)]),
      'route to a (1 container unhealthy)',
      TURN,
    );
    expectPlan(
      two,
      held([serving('b', 2), serving('c', 2, { state: 'exited' })]),
      'route to b (1 container died)',
      TURN,
    );
  });

  test('leaves what served before ready to serve again', () => {
    expectPlan(
      two,
      held([serving('a', 1), serving('b', 1, { routed: false }), starting('c', 1), ready('d', 2)]),
      TURN,
    );
  });

  test('gives a proxy that lost its table what served before', () => {
    expectPlan(
      desired,
      held([serving('a', 1, { routed: false }), serving('b', 2, { routed: false })]),
      'route to a (1 container of release 1 ready)',
      TURN,
    );
  });

  test('lets drains go on, its own too', () => {
    expectPlan(
      desired,
      held([serving('a', 1), draining('b', 2), draining('c', 0, { signalled: true, mayStop: true })]),
      'send the termination signals to b (its drain began)',
      'stop c (nothing holds it)',
      TURN,
    );
  });

  test('may be stopped and killed', () => {
    expectPlan(unwanted('stopped', release(2)), held([created('b', 2)]), 'remove b (it never ran)');
    expectPlan(unwanted('killed', release(2)), held([starting('b', 2)]), 'kill b (kill was asked for)');
  });

  test('is no matter once it is proven: it is healed', () => {
    expectPlan(wanted(proven(2)), held([]), 'start a new container of release 2 (1 of 1 missing)');
  });
});

describe('the release before', () => {
  const KEPT = 60_000;
  const keeping = (desired: Desired): Desired => ({ ...desired, keepOldMs: KEPT });
  const warm = (id: string, number: number, over: Partial<ObservedContainer> = {}) =>
    serving(id, number, { routed: false, warmUntil: NOW + 1000, ...over });
  const desired = keeping(wanted(proven(2), proven(1)));
  const WARM = 'wait for warm (a is kept warm: release 1 served before)';

  test('stays warm from the switch on', () => {
    expectPlan(
      keeping(wanted(release(2), proven(1))),
      seen([serving('a', 1), ready('b', 2)]),
      'route to b (release 2 is ready)',
      'settle on release 2 (1 container ready and routed)',
      WARM,
    );
    const switching = plan(desired, seen([serving('a', 1), ready('b', 2)]));
    const wait = switching.find((a) => a.kind === 'wait');
    assert.equal(wait?.until, NOW + KEPT);
  });

  test('stays for as long as was said', () => {
    const observed = seen([warm('a', 1), serving('b', 2)]);
    expectPlan(desired, observed, WARM);
    const [wait] = plan(desired, observed);
    assert.equal(wait?.kind === 'wait' && wait.until, NOW + 1000);
  });

  test('then drains as ever', () => {
    expectPlan(
      desired,
      seen([warm('a', 1, { warmUntil: NOW }), serving('b', 2)]),
      'drain a (release 2 serves)',
    );
  });

  test('leaves at once when it is unhealthy or has ended', () => {
    expectPlan(
      desired,
      seen([warm('a', 1, { health: 'unhealthy' }), serving('b', 2)]),
      'drain a (unhealthy: it answered 200)',
    );
    expectPlan(
      desired,
      seen([warm('a', 1, { state: 'exited' }), serving('b', 2)]),
      'keep the last words of a and remove it (it exited)',
    );
  });

  test('leaves nothing warm that never served', () => {
    expectPlan(desired, seen([ready('a', 1), serving('b', 2)]), 'drain a (release 2 serves)');
  });

  test('serves again at once when it is wanted again, and the other one stays warm', () => {
    expectPlan(
      keeping(wanted(proven(1), proven(2))),
      seen([warm('a', 1, { warmUntil: undefined }), serving('b', 2)]),
      'route to a (release 1 is ready)',
      'wait for warm (b is kept warm: release 2 served before)',
    );
  });

  test('is completed before it serves again when some of it has gone', () => {
    expectPlan(
      keeping(wanted(proven(1, { instances: 2 }), proven(2))),
      seen([warm('a', 1, { warmUntil: undefined }), serving('b', 2)]),
      'start a new container of release 1 (1 of 2 missing)',
    );
  });

  test('drains when a newer release comes: only one is kept', () => {
    expectPlan(
      keeping(wanted(release(3), proven(2))),
      seen([warm('a', 1, { warmUntil: undefined }), serving('b', 2), starting('c', 3)]),
      'wait for ready (c is not ready yet: nothing listens)',
      'drain a (release 3 is wanted)',
    );
  });

  test('does not serve for the one that followed it, which is healed', () => {
    expectPlan(
      desired,
      seen([warm('a', 1), serving('b', 2, { state: 'exited' })]),
      'route nothing (nothing that could serve is alive)',
      'start a new container of release 2 (1 of 1 missing)',
      WARM,
      'keep the last words of b and remove it (it exited)',
    );
    expectPlan(
      desired,
      seen([warm('a', 1), serving('b', 2, { routed: false })]),
      'route to b (1 container of release 2 ready)',
      WARM,
    );
  });

  test('is what a proxy that lost its table is told of, also where a higher number is on its way out', () => {
    expectPlan(
      keeping(wanted(release(4), proven(1))),
      seen([serving('a', 1, { routed: false }), serving('b', 3, { routed: false }), starting('c', 4)]),
      'route to a (1 container of release 1 ready)',
      'wait for ready (c is not ready yet: nothing listens)',
      'drain b (release 4 is wanted)',
    );
  });

  test('is not kept when it failed', () => {
    const back = keeping(wanted(proven(1)));
    expectPlan(
      back,
      seen([warm('a', 1, { warmUntil: undefined }), serving('b', 2)]),
      'route to a (release 1 is ready)',
      'drain b (release 1 serves)',
    );
  });

  test('is stopped and killed with the rest', () => {
    const goes = (status: 'stopped' | 'killed'): Desired => ({
      ...unwanted(status, proven(2)),
      keepOldMs: KEPT,
    });
    const containers = [warm('a', 1), draining('b', 2, { signalled: true, mayStop: true })];
    expectPlan(
      goes('stopped'),
      seen(containers),
      'drain a (stop was asked for)',
      'stop b (nothing holds it)',
    );
    expectPlan(
      goes('killed'),
      seen(containers),
      'kill a (kill was asked for)',
      'kill b (kill was asked for)',
    );
  });

  test('waits for the turn of the one that follows as it is', () => {
    const next = keeping(wanted(release(2), proven(1)));
    expectPlan(
      next,
      held([warm('a', 1), serving('b', 2)]),
      "wait for turn (release 2 goes on when it is this host's turn)",
    );
  });

  test('is what serves when the release that took over was never settled on and may not be', () => {
    const next: Release = release(2);
    expectPlan(
      keeping(wanted(next, proven(1))),
      held([warm('a', 1), serving('b', 2, { routed: false })]),
      'route to a (1 container of release 1 ready)',
      "wait for turn (release 2 goes on when it is this host's turn)",
    );
  });
});
