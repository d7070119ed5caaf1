/** The plan where a component says how it is healed (`healthPolicy`) and in what order it is replaced (`update.order`). */
import { describe, test } from 'node:test';
import type { ObservedContainer, Release } from '../../../src/agent/plan/state.ts';
import type { HealthPolicy } from '../../../src/config/project.ts';
import {
  component,
  created,
  draining,
  exited,
  expectPlan,
  late,
  NOW,
  PORT_80,
  proven,
  ready,
  release,
  seen,
  serving,
  starting,
  unhealthy,
  wanted,
} from '../builders.ts';

const under = (healthPolicy: HealthPolicy) => (c: ObservedContainer) => ({ ...c, healthPolicy });

describe('an unhealthy container, by healthPolicy', () => {
  const two = wanted(proven(1, { instances: 2 }));

  test('unroute: gets no traffic while another one is well, and stays', () => {
    const pair = [unhealthy('a', 1), serving('b', 1)].map(under('unroute'));
    expectPlan(two, seen(pair), 'route to b (1 container unhealthy)');
    const out = [unhealthy('a', 1, { routed: false }), serving('b', 1)].map(under('unroute'));
    expectPlan(two, seen(out));
  });

  test('unroute: gets traffic again when it is well', () => {
    const pair = [ready('a', 1, { served: true }), serving('b', 1)].map(under('unroute'));
    expectPlan(two, seen(pair), 'route to b, a (release 1 is ready)');
  });

  test('unroute: the last one keeps its traffic', () => {
    const pair = [unhealthy('a', 1, { routed: false }), unhealthy('b', 1)].map(under('unroute'));
    expectPlan(two, seen(pair));
  });

  test('report: nothing is done about it', () => {
    expectPlan(two, seen([unhealthy('a', 1), serving('b', 1)].map(under('report'))));
  });

  for (const policy of ['unroute', 'report'] as const) {
    test(`${policy}: one that died is replaced all the same`, () => {
      const pair = [exited('a', 1, { served: true, routed: true }), serving('b', 1)].map(under(policy));
      expectPlan(
        two,
        seen(pair),
        'route to b (1 container died)',
        'start a new container of release 1 (1 of 2 missing)',
        'keep the last words of a and remove it (it exited)',
      );
    });
  }
});

describe('what must never run twice', () => {
  const alone = (of: Release): Release => {
    const update = { ...of.component.update, order: 'stop-first' as const };
    return { ...of, component: component({ ...of.component, update }) };
  };
  const next = wanted(alone(release(2)), alone(proven(1)));
  const behind = { listeners: [PORT_80] };

  test('ends before the next one is started', () => {
    expectPlan(
      next,
      seen([serving('old', 1)]),
      'route nothing (it must end before the next one starts)',
      'drain old (release 2 is wanted)',
    );
    const held = 'wait for drain (old drains: 2 connections, the oldest for 13 s)';
    expectPlan(next, seen([draining('old', 1, { signalled: true })], behind), held);
    const free = draining('old', 1, { signalled: true, mayStop: true });
    expectPlan(next, seen([free], behind), 'stop old (nothing holds it)');
    expectPlan(next, seen([{ ...free, busy: true }], behind), 'wait for busy (old is being stopped)');
    expectPlan(
      next,
      seen([{ ...free, state: 'exited' }], behind),
      'start a new container of release 2 (1 of 1 missing)',
      'remove old (it has exited)',
    );
    expectPlan(
      next,
      seen([starting('new', 2)], behind),
      'wait for ready (new is not ready yet: nothing listens)',
    );
    expectPlan(
      next,
      seen([ready('new', 2)], behind),
      'route to new (1 container of release 2 ready)',
      'settle on release 2 (1 container ready and routed)',
    );
  });

  test('is started once where a process that was killed has left one more', () => {
    const two = [created('one', 2), created('another', 2)];
    expectPlan(next, seen(two, behind), 'start one (created for release 2)');
    const wait = 'wait for ready (one is not ready yet: nothing listens)';
    expectPlan(next, seen([starting('one', 2), created('another', 2)], behind), wait);
  });

  test('is not started beside one that another process has begun to start', () => {
    const two = [created('left', 2), created('begun', 2, { readyBy: NOW + 9_000 })];
    expectPlan(next, seen(two, behind), 'start begun (created for release 2)');
  });

  test('serves while the image of the next one is fetched', () => {
    const observed = seen([serving('old', 1)], { imagePresent: false });
    expectPlan(next, observed, 'pull example/web:2 (this host does not have the image)');
  });

  test('is not started beside one of whatever release that still runs', () => {
    expectPlan(
      next,
      seen([created('new', 2), draining('old', 1, { signalled: true })], behind),
      'wait for drain (old drains: 2 connections, the oldest for 13 s)',
    );
  });

  test('comes back when the next one fails', () => {
    expectPlan(
      next,
      seen([late('new', 2)], behind),
      'give up release 2 (container new was not ready within 10000 ms; nothing listens)',
    );
    const back = wanted(alone(proven(1)));
    expectPlan(back, seen([late('new', 2)], behind), 'drain new (not ready in time: nothing listens)');
    expectPlan(
      back,
      seen([exited('new', 2)], behind),
      'start a new container of release 1 (1 of 1 missing)',
      'remove new (it has exited)',
    );
  });

  test('that is unhealthy ends first as well, but not before another one may be started', () => {
    const only = wanted(alone(proven(1)));
    expectPlan(
      only,
      seen([unhealthy('a', 1)], { startAfter: NOW + 500, failures: 2 }),
      'wait for backoff (2nd failure in a row, next try in 0.5 s; the pause doubles up to 60 s)',
    );
    expectPlan(
      only,
      seen([unhealthy('a', 1)]),
      'route nothing (it must end before the next one starts)',
      'drain a (unhealthy: it answered 500)',
    );
  });

  test('is never kept warm', () => {
    const warm = ready('old', 1, { served: true, warmUntil: NOW + 60_000 });
    expectPlan({ ...next, keepOldMs: 60_000 }, seen([warm], behind), 'drain old (release 2 is wanted)');
  });
});

describe('the last container of the release before that dies while the next one comes up', () => {
  const next = wanted(release(2), proven(1));
  const died = exited('old', 1, { served: true });
  const coming = 'wait for ready (new is not ready yet: nothing listens)';

  test('is replaced, for the next one may take its time or fail', () => {
    expectPlan(
      next,
      seen([died, starting('new', 2)]),
      coming,
      'start a new container of release 1 (1 of 1 missing)',
      'keep the last words of old and remove it (it exited)',
    );
    expectPlan(
      next,
      seen([ready('again', 1), starting('new', 2)]),
      'route to again (1 container of release 1 ready)',
      coming,
    );
    expectPlan(next, seen([serving('again', 1), starting('new', 2)]), coming);
  });

  test('is replaced with its own pauses, which the next one does not heed', () => {
    expectPlan(
      next,
      seen([died], { startAfter: NOW + 500, failures: 2 }),
      'start a new container of release 2 (1 of 1 missing)',
      'wait for backoff (2nd failure in a row, next try in 0.5 s; the pause doubles up to 60 s)',
      'keep the last words of old and remove it (it exited)',
    );
  });

  test('is not when the next one is ready, or nobody stays to heal', () => {
    expectPlan(
      next,
      seen([died, ready('new', 2)]),
      'route to new (1 container of release 2 ready)',
      'settle on release 2 (1 container ready and routed)',
      'keep the last words of old and remove it (it exited)',
    );
    expectPlan(
      next,
      seen([died, starting('new', 2)], { heals: false }),
      coming,
      'keep the last words of old and remove it (it exited)',
    );
  });
});

describe('an unhealthy container that another one is to take the place of', () => {
  const two = wanted(proven(1, { instances: 2 }));

  test('lets an unhealthy container leave once enough others serve', () => {
    const out = unhealthy('a', 1, { routed: false });
    expectPlan(
      two,
      seen([out, serving('b', 1), starting('c', 1)]),
      'wait for ready (c is not ready yet: nothing listens)',
    );
    expectPlan(two, seen([out, serving('b', 1), serving('c', 1)]), 'drain a (unhealthy: it answered 500)');
  });

  test('routes to an unhealthy container again when the others turn out to be dead', () => {
    const out = unhealthy('a', 1, { routed: false });
    expectPlan(
      two,
      seen([out, exited('b', 1, { served: true, routed: true }), starting('c', 1)]),
      'route to a (1 container died)',
      'wait for ready (c is not ready yet: nothing listens)',
      'keep the last words of b and remove it (it exited)',
    );
  });
});
