/**
 * What gantryd does, as a specification: a world in a line or two, and the plan for it in words. The
 * line `web: ` before each action is left out.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { plan } from '../../../src/agent/plan/plan.ts';
import type { Desired, Observed } from '../../../src/agent/plan/state.ts';
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

describe('a first start', () => {
  const desired = wanted(release(1));

  test('starts a container', () => {
    expectPlan(desired, seen([]), 'start a new container of release 1 (1 of 1 missing)');
  });

  test('starts as many as there are to be instances', () => {
    expectPlan(
      wanted(release(1, { instances: 3 })),
      seen([]),
      'start a new container of release 1 (3 of 3 missing)',
      'start a new container of release 1 (3 of 3 missing)',
      'start a new container of release 1 (3 of 3 missing)',
    );
  });

  test('pulls an image that this host does not have', () => {
    expectPlan(
      desired,
      seen([], { imagePresent: false }),
      'pull example/web:1 (this host does not have the image)',
    );
  });

  test('pulls by digest where one is known: the tag may have moved', () => {
    expectPlan(
      wanted(release(1, { digest: 'example/web@sha256:1' })),
      seen([], { imagePresent: false }),
      'pull example/web@sha256:1 (this host does not have the image)',
    );
  });

  test('listens nowhere before a container is ready', () => {
    expectPlan(desired, seen([starting('a', 1)]), 'wait for ready (a is not ready yet: nothing listens)');
  });

  test('waits no longer than the ready timeout', () => {
    const [wait] = plan(desired, seen([starting('a', 1, { readyBy: NOW + 7 })]));
    assert.equal(wait?.kind === 'wait' && wait.until, NOW + 7);
  });

  test('routes what is ready and settles on the release', () => {
    expectPlan(
      desired,
      seen([ready('a', 1)]),
      'route to a (1 container of release 1 ready)',
      'settle on release 1 (1 container ready and routed)',
    );
  });

  test('serves with the first container while the others come up', () => {
    expectPlan(
      wanted(release(1, { instances: 2 })),
      seen([ready('a', 1), starting('b', 1)]),
      'route to a (1 container of release 1 ready)',
      'wait for ready (b is not ready yet: nothing listens)',
    );
  });

  test('settles on the release when it is routed and was not settled on', () => {
    expectPlan(desired, seen([serving('a', 1)]), 'settle on release 1 (1 container ready and routed)');
  });

  test('has nothing to do when everything serves', () => {
    expectPlan(wanted(proven(1)), seen([serving('a', 1)]));
  });

  test('is stopped again when it fails, as there is nothing to return to', () => {
    expectPlan(
      desired,
      seen([exited('a', 1)]),
      'give up release 1 (container a exited before all of release 1 was ready)',
    );
    expectPlan(unwanted('stopped', release(1)), seen([exited('a', 1)]), 'remove a (it has exited)');
  });
});

describe('an update', () => {
  const desired = wanted(release(2), proven(1));
  const two = wanted(release(2, { instances: 2 }), proven(1, { instances: 2 }));

  test('starts the new container beside the old one', () => {
    expectPlan(desired, seen([serving('a', 1)]), 'start a new container of release 2 (1 of 1 missing)');
  });

  test('leaves the old container alone while the new one comes up', () => {
    expectPlan(
      desired,
      seen([serving('a', 1), starting('b', 2)]),
      'wait for ready (b is not ready yet: nothing listens)',
    );
  });

  test('switches, settles, and drains the old container in one plan', () => {
    expectPlan(
      desired,
      seen([serving('a', 1), ready('b', 2)]),
      'route to b (release 2 is ready)',
      'settle on release 2 (1 container ready and routed)',
      'drain a (release 2 serves)',
    );
  });

  test('keeps the old containers serving until all new ones are ready', () => {
    expectPlan(
      two,
      seen([serving('a', 1), serving('b', 1), ready('c', 2), starting('d', 2)]),
      'wait for ready (d is not ready yet: nothing listens)',
    );
  });

  test('switches once, to all new containers', () => {
    expectPlan(
      two,
      seen([serving('a', 1), serving('b', 1), ready('c', 2), ready('d', 2)]),
      'route to c, d (release 2 is ready)',
      'settle on release 2 (2 containers ready and routed)',
      'drain a (release 2 serves)',
      'drain b (release 2 serves)',
    );
  });

  test('goes on with the old container that is left when another one dies', () => {
    expectPlan(
      two,
      seen([serving('a', 1), serving('b', 1, { state: 'exited' }), ready('c', 2), starting('d', 2)]),
      'route to a (1 container died)',
      'wait for ready (d is not ready yet: nothing listens)',
      'keep the last words of b and remove it (it exited)',
    );
  });

  test('switches early to what is ready when no old container can serve', () => {
    expectPlan(
      two,
      seen([serving('a', 1, { state: 'exited' }), ready('c', 2), starting('d', 2)]),
      'route to c (1 container died)',
      'wait for ready (d is not ready yet: nothing listens)',
      'keep the last words of a and remove it (it exited)',
    );
  });

  test('to more instances starts all of them', () => {
    expectPlan(
      wanted(release(2, { instances: 2 }), proven(1)),
      seen([serving('a', 1), ready('b', 2)]),
      'start a new container of release 2 (1 of 2 missing)',
    );
  });

  test('to fewer instances drains all old containers', () => {
    expectPlan(
      wanted(release(2), proven(1, { instances: 2 })),
      seen([serving('a', 1), serving('b', 1), ready('c', 2)]),
      'route to c (release 2 is ready)',
      'settle on release 2 (1 container ready and routed)',
      'drain a (release 2 serves)',
      'drain b (release 2 serves)',
    );
  });

  test('of the ports leaves the listeners alone until the switch', () => {
    const ports = wanted(release(2, { listeners: [PORT_81] }), proven(1));
    expectPlan(
      ports,
      seen([serving('a', 1), starting('b', 2)]),
      'wait for ready (b is not ready yet: nothing listens)',
    );
    const [route] = plan(ports, seen([serving('a', 1), ready('b', 2)]));
    assert.deepEqual(route?.kind === 'route' && route.listeners, [PORT_81]);
  });

  test('whose switch was made with other listeners corrects them', () => {
    expectPlan(
      wanted(proven(2, { listeners: [PORT_80, PORT_81] })),
      seen([serving('b', 2)]),
      'route to b (the listeners changed)',
    );
  });

  test('does not care in which order the proxy names the listeners', () => {
    expectPlan(
      wanted(proven(2, { listeners: [PORT_80, PORT_81] })),
      seen([serving('b', 2)], { listeners: [PORT_81, PORT_80] }),
    );
  });
});

describe('a release that fails', () => {
  const desired = wanted(release(2), proven(1));

  test('is given up when its container exits', () => {
    expectPlan(
      desired,
      seen([serving('a', 1), exited('b', 2)]),
      'give up release 2 (container b exited before all of release 2 was ready)',
    );
  });

  test('is given up when its container is late, with what the check saw', () => {
    expectPlan(
      desired,
      seen([serving('a', 1), late('b', 2, { saw: 'it answered 503' })]),
      'give up release 2 (container b was not ready within 10000 ms; it answered 503)',
    );
  });

  test('is given up when its container serves and turns unhealthy before all are ready', () => {
    expectPlan(
      wanted(release(2, { instances: 2 }), proven(1)),
      seen([unhealthy('b', 2), starting('c', 2)]),
      'give up release 2 (container b became unhealthy before all of release 2 was ready; it answered 500)',
    );
  });

  test('is given up as a whole when one of its containers fails', () => {
    expectPlan(
      wanted(release(2, { instances: 2 }), proven(1, { instances: 2 })),
      seen([serving('a', 1), serving('b', 1), ready('c', 2), exited('d', 2)]),
      'give up release 2 (container d exited before all of release 2 was ready)',
    );
  });

  test('goes, and the old container serves as ever', () => {
    const back = wanted(proven(1));
    expectPlan(
      back,
      seen([serving('a', 1), exited('b', 2), late('c', 2)]),
      'remove b (it has exited)',
      'drain c (not ready in time: nothing listens)',
    );
    const drained = late('c', 2, { drain: draining('c', 2, { connections: 0 }).drain });
    expectPlan(back, seen([serving('a', 1), drained]), 'stop c (it never served)');
    expectPlan(back, seen([serving('a', 1), { ...drained, state: 'exited' }]), 'remove c (it has exited)');
    expectPlan(back, seen([serving('a', 1)]));
  });

  test('keeps serving with its listeners when nothing else can, until the old release is up', () => {
    const back = wanted(proven(2), proven(1, { listeners: [PORT_81] }));
    expectPlan(back, seen([serving('b', 3)]), 'start a new container of release 2 (1 of 1 missing)');
    expectPlan(
      back,
      seen([serving('b', 3), ready('c', 2)]),
      'route to c (release 2 is ready)',
      'drain b (release 2 serves)',
    );
  });
});

describe('healing', () => {
  const one = wanted(proven(1));
  const two = wanted(proven(1, { instances: 2 }));
  const four = wanted(proven(1, { instances: 4 }));

  test('unroutes, replaces and removes a container that died', () => {
    expectPlan(
      one,
      seen([serving('a', 1, { state: 'exited' })]),
      'route nothing (nothing that could serve is alive)',
      'start a new container of release 1 (1 of 1 missing)',
      'keep the last words of a and remove it (it exited)',
    );
  });

  test('keeps the listeners while nothing serves, so that clients get an answer', () => {
    const [route] = plan(one, seen([serving('a', 1, { state: 'exited' })]));
    assert.deepEqual(route?.kind === 'route' && route.listeners, [PORT_80]);
    expectPlan(
      one,
      seen([starting('b', 1)], { listeners: [PORT_80] }),
      'wait for ready (b is not ready yet: nothing listens)',
    );
  });

  test('unroutes an unhealthy container at once when a healthy one serves beside it', () => {
    expectPlan(
      two,
      seen([unhealthy('a', 1), serving('b', 1)]),
      'route to b (1 container unhealthy)',
      'start a new container of release 1 (1 of 2 missing)',
    );
  });

  test('keeps the only container routed although it is unhealthy, until its successor is ready', () => {
    expectPlan(one, seen([unhealthy('a', 1)]), 'start a new container of release 1 (1 of 1 missing)');
    expectPlan(
      one,
      seen([unhealthy('a', 1), starting('b', 1)]),
      'wait for ready (b is not ready yet: nothing listens)',
    );
    expectPlan(
      one,
      seen([unhealthy('a', 1), ready('b', 1)]),
      'route to b (1 container unhealthy)',
      'drain a (unhealthy: it answered 500)',
    );
  });

  test('routes a replacement beside those that serve', () => {
    expectPlan(two, seen([serving('a', 1), ready('b', 1)]), 'route to a, b (release 1 is ready)');
  });

  test('leaves a replacement to whoever asked the health checks', () => {
    for (const replacement of [starting('b', 1), ready('b', 1)]) {
      expectPlan(one, seen([serving('a', 1), replacement], { heals: false }));
    }
    expectPlan(
      one,
      seen([serving('a', 1), exited('b', 1)], { heals: false }),
      'keep the last words of b and remove it (it exited)',
    );
  });

  test('drains the replacement when the unhealthy container recovers first', () => {
    expectPlan(one, seen([serving('a', 1), starting('b', 1)]), 'drain b (1 is to be here)');
    expectPlan(one, seen([serving('a', 1), ready('b', 1)]), 'drain b (1 is to be here)');
    expectPlan(one, seen([serving('a', 1), created('b', 1)]), 'remove b (it never ran)');
  });

  test('replaces a replacement that is late', () => {
    expectPlan(
      two,
      seen([serving('a', 1), late('b', 1)]),
      'start a new container of release 1 (1 of 2 missing)',
      'drain b (not ready in time: nothing listens)',
    );
  });

  test('never starts a container that is late already', () => {
    expectPlan(
      two,
      seen([serving('a', 1), late('b', 1, { state: 'created' })]),
      'start a new container of release 1 (1 of 2 missing)',
      'remove b (it never ran)',
    );
  });

  test('replaces one at a time when more than half have failed', () => {
    const gone = ['b', 'c', 'd'].map((id) => serving(id, 1, { state: 'exited' }));
    expectPlan(
      four,
      seen([serving('a', 1), ...gone]),
      'route to a (3 containers died)',
      'start a new container of release 1 (3 of 4 missing, one at a time)',
      'keep the last words of b and remove it (it exited)',
      'keep the last words of c and remove it (it exited)',
      'keep the last words of d and remove it (it exited)',
    );
  });

  test('starts no second replacement while the first of many comes up', () => {
    expectPlan(
      four,
      seen([serving('a', 1), starting('e', 1)], { failures: 3 }),
      'wait for ready (e is not ready yet: nothing listens)',
    );
  });

  test('starts the rest together once half are up again', () => {
    expectPlan(
      four,
      seen([serving('a', 1), serving('e', 1)]),
      'start a new container of release 1 (2 of 4 missing)',
      'start a new container of release 1 (2 of 4 missing)',
    );
  });

  test('keeps all routed when all are unhealthy, and replaces one at a time', () => {
    expectPlan(
      two,
      seen([unhealthy('a', 1), unhealthy('b', 1)]),
      'start a new container of release 1 (2 of 2 missing, one at a time)',
    );
  });

  test('waits between failures', () => {
    const observed = seen([], { startAfter: NOW + 1500, failures: 3, listeners: [PORT_80] });
    const words = '3rd failure in a row, next try in 1.5 s; the pause doubles up to 60 s';
    expectPlan(one, observed, `wait for backoff (${words})`);
    const [wait] = plan(one, observed);
    assert.equal(wait?.kind === 'wait' && wait.until, NOW + 1500);
  });

  test('pulls the image again when it is gone', () => {
    expectPlan(
      two,
      seen([serving('a', 1)], { imagePresent: false }),
      'pull example/web:1 (this host does not have the image)',
    );
  });
});

describe('a drain', () => {
  const desired = wanted(proven(2));
  const expectStep = (old: Observed['containers'][number], ...words: readonly string[]) =>
    expectPlan(desired, seen([serving('b', 2), old]), ...words);

  test('sends the termination signals first', () => {
    expectStep(draining('a', 1), 'send the termination signals to a (its drain began)');
  });

  test('then waits for what holds the container', () => {
    expectStep(
      draining('a', 1, { signalled: true }),
      'wait for drain (a drains: 2 connections, the oldest for 13 s)',
    );
  });

  test('without a bound waits for nothing but an event', () => {
    const observed = seen([serving('b', 2), draining('a', 1, { signalled: true })]);
    const [wait] = plan(desired, observed);
    assert.equal(wait?.kind === 'wait' && wait.until, undefined);
  });

  test('stops the container when nothing holds it', () => {
    expectStep(draining('a', 1, { signalled: true, mayStop: true }), 'stop a (nothing holds it)');
  });

  test('waits for a stop that is under way', () => {
    const stopping = { ...draining('a', 1, { signalled: true, mayStop: true }), busy: true };
    expectStep(stopping, 'wait for busy (a is being stopped)');
  });

  test('removes the stopped container', () => {
    expectStep({ ...draining('a', 1), state: 'exited' }, 'remove a (it has exited)');
  });

  test('stops the container when its deadline has passed, and says what it cuts', () => {
    expectStep(
      draining('a', 1, { signalled: true, deadline: NOW }),
      'stop a (the drain timeout passed; 2 connections, the oldest for 13 s)',
    );
    const before = draining('a', 1, { signalled: true, deadline: NOW + 1 });
    const [wait] = plan(desired, seen([serving('b', 2), before]));
    assert.equal(wait?.kind === 'wait' && wait.until, NOW + 1);
  });

  test('goes on for several releases at once, each at its own step', () => {
    expectPlan(
      wanted(proven(4)),
      seen([
        draining('a', 1, { signalled: true }),
        draining('b', 2),
        draining('c', 3, { signalled: true, mayStop: true }),
        serving('d', 4),
      ]),
      'wait for drain (a drains: 2 connections, the oldest for 13 s)',
      'send the termination signals to b (its drain began)',
      'stop c (nothing holds it)',
    );
  });

  test('of a container that never served ends at once', () => {
    const spare = ready('a', 1, { drain: draining('a', 1, { connections: 0 }).drain });
    expectStep(spare, 'stop a (it never served)');
  });

  test('of a container that is held is a whole one even if nobody remembers that it served', () => {
    const held = ready('a', 1, { drain: draining('a', 1, { connections: 1 }).drain });
    expectStep(held, 'send the termination signals to a (its drain began)');
  });

  test('is never taken back', () => {
    expectPlan(
      wanted(proven(1)),
      seen([draining('a', 1, { signalled: true })]),
      'start a new container of release 1 (1 of 1 missing)',
      'wait for drain (a drains: 2 connections, the oldest for 13 s)',
    );
  });

  test('of a container that the proxy still routes unroutes it', () => {
    expectPlan(
      desired,
      seen([serving('b', 2), { ...draining('a', 1, { signalled: true }), routed: true }]),
      'route to b (release 2 is ready)',
      'wait for drain (a drains: 2 connections, the oldest for 13 s)',
    );
  });
});

describe('stop', () => {
  const desired = unwanted('stopped', proven(1));

  test('unroutes everything, closes the listeners and drains', () => {
    const observed = seen([serving('a', 1), serving('b', 1)]);
    expectPlan(
      desired,
      observed,
      'route nothing (stop was asked for)',
      'drain a (stop was asked for)',
      'drain b (stop was asked for)',
    );
    const [route] = plan(desired, observed);
    assert.deepEqual(route?.kind === 'route' && route.listeners, []);
  });

  test('goes on with what drains already', () => {
    expectPlan(
      desired,
      seen([draining('a', 1, { signalled: true })]),
      'wait for drain (a drains: 2 connections, the oldest for 13 s)',
    );
  });

  test('in the midst of an update ends both releases, each in its own way', () => {
    expectPlan(
      desired,
      seen([serving('a', 1), ready('b', 2), starting('c', 2), created('d', 2), exited('e', 2)]),
      'route nothing (stop was asked for)',
      'drain a (stop was asked for)',
      'drain b (stop was asked for)',
      'drain c (stop was asked for)',
      'remove d (it never ran)',
      'remove e (it has exited)',
    );
  });

  test('closes listeners that have no container behind them', () => {
    expectPlan(desired, seen([], { listeners: [PORT_80] }), 'route nothing (stop was asked for)');
  });

  test('has nothing to do when nothing is there', () => {
    expectPlan(desired, seen([]));
    expectPlan(unwanted('stopped'), seen([]));
  });
});

describe('kill', () => {
  const desired = unwanted('killed', proven(1));

  test('waits for nobody, in whatever phase a container is', () => {
    expectPlan(
      desired,
      seen([
        serving('a', 1),
        draining('b', 1),
        starting('c', 2),
        created('d', 2),
        exited('e', 2),
        { ...draining('f', 1), busy: true },
      ]),
      'route nothing (kill was asked for)',
      'kill a (kill was asked for)',
      'kill b (kill was asked for)',
      'kill c (kill was asked for)',
      'remove d (kill was asked for)',
      'remove e (kill was asked for)',
      'kill f (kill was asked for)',
    );
  });

  test('waits for a removal that is under way', () => {
    expectPlan(desired, seen([exited('a', 1, { busy: true })]), 'wait for busy (a is being stopped)');
  });

  test('has nothing to do when nothing is there', () => {
    expectPlan(desired, seen([]));
  });
});

describe('never deployed', () => {
  test('ready without a release is the same as stopped', () => {
    const desired: Desired = { ...unwanted('ready'), release: undefined };
    expectPlan(desired, seen([]));
    expectPlan(
      desired,
      seen([draining('a', 1, { signalled: true, mayStop: true })]),
      'stop a (nothing holds it)',
    );
  });
});

describe('a proxy that lost its table', () => {
  test('is told again what serves', () => {
    expectPlan(
      wanted(proven(1, { instances: 2 })),
      seen([serving('a', 1, { routed: false }), serving('b', 1, { routed: false })]),
      'route to a, b (2 containers of release 1 ready)',
    );
  });

  test('in the midst of an update gets the old release back, with its listeners', () => {
    const desired = wanted(release(2, { listeners: [PORT_81] }), proven(1));
    const observed = seen([serving('a', 1, { routed: false }), starting('b', 2)]);
    expectPlan(
      desired,
      observed,
      'route to a (1 container of release 1 ready)',
      'wait for ready (b is not ready yet: nothing listens)',
    );
    const [route] = plan(desired, observed);
    assert.deepEqual(route?.kind === 'route' && [route.release, route.listeners], [1, [PORT_80]]);
  });

  test('is never given a container that drains', () => {
    expectPlan(
      wanted(proven(1)),
      seen([{ ...draining('a', 1, { signalled: true, mayStop: true }), routed: false }]),
      'start a new container of release 1 (1 of 1 missing)',
      'stop a (nothing holds it)',
    );
  });

  test('is never given containers of two releases', () => {
    const [old, older] = [serving('b', 2, { routed: false }), serving('a', 1, { routed: false })];
    expectPlan(
      wanted(release(3), proven(2)),
      seen([older, old, starting('c', 3)]),
      'route to b (1 container of release 2 ready)',
      'wait for ready (c is not ready yet: nothing listens)',
      'drain a (release 3 is wanted)',
    );
  });

  test('gets the listeners of the new release when nobody knows those of the old one', () => {
    const [route] = plan(wanted(release(2)), seen([serving('a', 1, { routed: false })]));
    assert.deepEqual(route?.kind === 'route' && [route.release, route.listeners], [1, [PORT_80]]);
  });
});

describe('after a crash, what is found is taken up', () => {
  const desired = wanted(release(2), proven(1));

  test('a container that was created and not started', () => {
    expectPlan(desired, seen([serving('a', 1), created('b', 2)]), 'start b (created for release 2)');
  });

  test('a container that is starting', () => {
    expectPlan(
      desired,
      seen([serving('a', 1), starting('b', 2)]),
      'wait for ready (b is not ready yet: nothing listens)',
    );
  });

  test('a switch that was made, and not settled on', () => {
    expectPlan(
      desired,
      seen([serving('a', 1, { routed: false }), serving('b', 2)]),
      'settle on release 2 (1 container ready and routed)',
      'drain a (release 2 serves)',
    );
  });

  test('a container that was unrouted and does not drain yet', () => {
    expectPlan(
      wanted(proven(2), proven(1)),
      seen([serving('a', 1, { routed: false }), serving('b', 2)]),
      'drain a (release 2 serves)',
    );
  });

  test('a container that was drained and not stopped', () => {
    expectPlan(
      wanted(proven(2), proven(1)),
      seen([draining('a', 1, { signalled: true, mayStop: true }), serving('b', 2)]),
      'stop a (nothing holds it)',
    );
  });

  test('a container that was stopped and not removed', () => {
    expectPlan(
      wanted(proven(2), proven(1)),
      seen([{ ...draining('a', 1), state: 'exited' }, serving('b', 2)]),
      'remove a (it has exited)',
    );
  });

  test('leftovers of an update that a later one overtook', () => {
    expectPlan(
      wanted(release(3), proven(1)),
      seen([serving('a', 1), ready('b', 2), starting('c', 2), created('d', 2), exited('e', 2)]),
      'start a new container of release 3 (1 of 1 missing)',
      'drain b (release 3 is wanted)',
      'drain c (release 3 is wanted)',
      'remove d (it never ran)',
      'remove e (it has exited)',
    );
  });

  test('the old containers serve again when the new ones die before the release was settled on', () => {
    const dead = serving('b', 2, { state: 'exited' });
    const old = serving('a', 1, { routed: false });
    expectPlan(
      desired,
      seen([old, dead]),
      'give up release 2 (container b exited before all of release 2 was ready)',
    );
    expectPlan(
      wanted(proven(1)),
      seen([old, dead]),
      'route to a (1 container died)',
      'keep the last words of b and remove it (it exited)',
    );
  });
});

describe('a container that this process is stopping or removing', () => {
  test('is left alone and counts for nothing', () => {
    expectPlan(
      wanted(proven(1)),
      seen([serving('a', 1, { state: 'exited', routed: false, busy: true }), ready('b', 1, { busy: true })]),
      'start a new container of release 1 (1 of 1 missing)',
      'wait for busy (a is being stopped)',
      'wait for busy (b is being stopped)',
    );
  });

  test('is not held against a release that is not settled on yet', () => {
    expectPlan(
      wanted(release(2), proven(1)),
      seen([serving('a', 1), starting('b', 2), exited('c', 2, { busy: true })]),
      'wait for ready (b is not ready yet: nothing listens)',
      'wait for busy (c is being stopped)',
    );
  });
});
