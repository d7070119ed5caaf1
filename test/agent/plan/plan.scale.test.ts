/** More or fewer of the release that serves: the plan's specification of it. No release is made, none is replaced. */
import { describe, test } from 'node:test';
import {
  draining,
  exited,
  expectPlan,
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

const CREATE = 'start a new container of release 1';

describe('growing', () => {
  const five = wanted(proven(1, { instances: 5 }));

  test('starts all that are missing side by side, since none of them has failed', () => {
    const words = `${CREATE} (4 of 5 missing)`;
    expectPlan(five, seen([serving('a', 1)]), words, words, words, words);
  });

  test('routes to each that becomes ready, beside those that serve', () => {
    expectPlan(
      five,
      seen([serving('a', 1), ready('b', 1), ...['c', 'd', 'e'].map((id) => starting(id, 1))]),
      'route to a, b (release 1 is ready)',
      ...['c', 'd', 'e'].map((id) => `wait for ready (${id} is not ready yet: nothing listens)`),
    );
  });

  test('goes on one at a time once one has failed', () => {
    const one = `${CREATE} (4 of 5 missing, one at a time)`;
    const left = 'keep the last words of b and remove it (it exited)';
    expectPlan(five, seen([serving('a', 1), exited('b', 1)]), one, left);
    expectPlan(five, seen([serving('a', 1)], { failures: 1 }), one);
  });

  test('from none listens already', () => {
    expectPlan(
      five,
      seen([ready('a', 1)], { listeners: [PORT_80], failures: 0 }),
      ...[
        'route to a (1 container of release 1 ready)',
        ...Array.from({ length: 4 }, () => `${CREATE} (4 of 5 missing)`),
      ],
    );
  });
});

describe('shrinking', () => {
  const two = wanted(proven(1, { instances: 2 }));

  test('unroutes and drains those that the fewest clients are with', () => {
    const busy = [5, 0, 7, 1].map((connections, i) => serving('abcd'[i] ?? '', 1, { connections }));
    expectPlan(
      two,
      seen(busy),
      'route to a, c (2 are to be here)',
      'drain b (2 are to be here)',
      'drain d (2 are to be here)',
    );
  });

  test('of equals keeps the oldest', () => {
    const aged = [3, 1, 2].map((readyBy, i) => serving('abc'[i] ?? '', 1, { readyBy }));
    expectPlan(two, seen(aged), 'route to b, c (2 are to be here)', 'drain a (2 are to be here)');
  });

  test('keeps what serves before what is only ready, and what is well before what is not', () => {
    const on = [serving('c', 1), serving('d', 1)];
    const off = ['drain a (2 are to be here)', 'drain b (unhealthy: it answered 500)'];
    const mixed = [ready('a', 1, { connections: 9 }), unhealthy('b', 1, { connections: 9 }), ...on];
    expectPlan(two, seen(mixed), 'route to c, d (1 container unhealthy)', ...off);
  });

  test('takes nothing away while not enough of them are well', () => {
    const one = wanted(proven(1, { instances: 1 }));
    expectPlan(one, seen([unhealthy('a', 1), unhealthy('b', 1)]), `${CREATE} (1 of 1 missing)`);
  });

  test('cuts nothing: what drains is waited for', () => {
    const held = draining('c', 1, { signalled: true });
    const wait = 'wait for drain (c drains: 2 connections, the oldest for 13 s)';
    expectPlan(two, seen([serving('a', 1), serving('b', 1), held]), wait);
  });

  test('to none leaves the ports open, which answer that nothing serves', () => {
    const none = wanted(proven(1, { instances: 0 }));
    expectPlan(
      none,
      seen([serving('a', 1)]),
      'route nothing (none is to be here)',
      'drain a (0 are to be here)',
    );
    expectPlan(none, seen([], { listeners: [PORT_80] }));
  });
});

describe('a host that has none of a total', () => {
  const none = release(2, { instances: 0 });

  test('has every release at once, and listens for it', () => {
    const words = 'settle on release 2 (0 containers ready and routed)';
    expectPlan(wanted(none, proven(1, { instances: 0 })), seen([]), words);
    expectPlan(wanted({ ...none, proven: true }), seen([]), 'route nothing (none is to be here)');
  });

  test('tries nothing out', () => {
    const canary = { percent: 10, durationMs: 60_000, maxErrorRate: 0.01 };
    const tried = { ...none, component: { ...none.component, update: { ...none.component.update, canary } } };
    expectPlan(
      wanted(tried, proven(1)),
      seen([serving('a', 1)]),
      'route nothing (none is to be here)',
      'settle on release 2 (0 containers ready and routed)',
      'drain a (release 2 serves)',
    );
  });
});
