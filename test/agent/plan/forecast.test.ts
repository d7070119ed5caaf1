/** What --dry-run says: the whole way from here to rest, as if everything worked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../../../src/agent/plan/explain.ts';
import { assume, forecast } from '../../../src/agent/plan/forecast.ts';
import { type Action, plan } from '../../../src/agent/plan/plan.ts';
import type { Desired, Observed } from '../../../src/agent/plan/state.ts';
import {
  component,
  created,
  draining,
  late,
  NOW,
  PORT_80,
  proven,
  release,
  seen,
  serving,
  starting,
  unwanted,
  wanted,
} from '../builders.ts';

function expectForecast(desired: Desired, observed: Observed, ...words: readonly string[]): void {
  assert.equal(explain(forecast(desired, observed)), words.map((w) => `web: ${w}`).join('\n'));
}

test('of a release that waits for its turn, and keeps the one before warm, goes on to the end of both', () => {
  expectForecast(
    { ...wanted(release(2), proven(1)), keepOldMs: 60_000 },
    seen([serving('a', 1)], { mayAdvance: false }),
    "wait for turn (release 2 goes on when it is this host's turn)",
    'start a new container of release 2 (1 of 1 missing)',
    'wait for ready ((new 1) is not ready yet: it has just started)',
    'route to (new 1) (release 2 is ready)',
    'settle on release 2 (1 container ready and routed)',
    'wait for warm (a is kept warm: release 1 served before)',
    'drain a (release 2 serves)',
    'wait for drain (a drains: its connections)',
    'stop a (nothing holds it)',
    'remove a (it has exited)',
  );
});

test('of a first start', () => {
  expectForecast(
    wanted(release(1)),
    seen([], { imagePresent: false }),
    'pull example/web:1 (this host does not have the image)',
    'start a new container of release 1 (1 of 1 missing)',
    'wait for ready ((new 1) is not ready yet: it has just started)',
    'route to (new 1) (1 container of release 1 ready)',
    'settle on release 1 (1 container ready and routed)',
  );
});

test('of an update that sends signals and drains', () => {
  const old = proven(1, {
    component: component({ terminationSignals: [{ kind: 'http', id: 'bye', timeoutMs: 1000 }] }),
  });
  expectForecast(
    wanted(release(2), old),
    seen([serving('a', 1)]),
    'start a new container of release 2 (1 of 1 missing)',
    'wait for ready ((new 1) is not ready yet: it has just started)',
    'route to (new 1) (release 2 is ready)',
    'settle on release 2 (1 container ready and routed)',
    'drain a (release 2 serves)',
    'send the termination signals to a (its drain began)',
    'wait for drain (a drains: its connections)',
    'stop a (nothing holds it)',
    'remove a (it has exited)',
  );
});

test('of an update without signals or ready checks leaves out both', () => {
  const at = component({ readyChecks: [] });
  expectForecast(
    wanted(release(2, { component: at }), proven(1)),
    seen([serving('a', 1)]),
    'start a new container of release 2 (1 of 1 missing)',
    'route to (new 1) (release 2 is ready)',
    'settle on release 2 (1 container ready and routed)',
    'drain a (release 2 serves)',
    'wait for drain (a drains: its connections)',
    'stop a (nothing holds it)',
    'remove a (it has exited)',
  );
});

test('of a release that has failed already leads back to the one before', () => {
  expectForecast(
    wanted(release(2), proven(1)),
    seen([serving('a', 1), late('b', 2)]),
    'give up release 2 (container b was not ready within 10000 ms; nothing listens)',
    'drain b (not ready in time: nothing listens)',
    'stop b (it never served)',
    'remove b (it has exited)',
  );
});

test('of a first release that has failed already leads to stopped', () => {
  expectForecast(
    wanted(release(1)),
    seen([late('a', 1)]),
    'give up release 1 (container a was not ready within 10000 ms; nothing listens)',
    'drain a (not ready in time: nothing listens)',
    'stop a (it never served)',
    'remove a (it has exited)',
  );
});

test('of a backoff goes on after it', () => {
  expectForecast(
    wanted(proven(1)),
    seen([], { startAfter: NOW + 1000, failures: 4, listeners: [PORT_80] }),
    'wait for backoff (4th failure in a row, next try in 1.0 s; the pause doubles up to 60 s)',
    'start a new container of release 1 (1 of 1 missing)',
    'wait for ready ((new 1) is not ready yet: it has just started)',
    'route to (new 1) (1 container of release 1 ready)',
  );
});

test('of a stop goes on with what drains and what is being stopped', () => {
  expectForecast(
    unwanted('stopped', proven(1)),
    seen([draining('a', 1, { signalled: true }), { ...draining('b', 1), busy: true }]),
    'wait for drain (a drains: 2 connections, the oldest for 13 s)',
    'wait for busy (b is being stopped)',
    'stop a (nothing holds it)',
    'remove b (it has exited)',
    'remove a (it has exited)',
  );
});

test('of a kill', () => {
  expectForecast(
    unwanted('killed', proven(1)),
    seen([serving('a', 1), created('b', 2)]),
    'route nothing (kill was asked for)',
    'kill a (kill was asked for)',
    'remove b (kill was asked for)',
    'remove a (kill was asked for)',
  );
});

test('of a world at rest is empty', () => {
  expectForecast(wanted(proven(1)), seen([serving('a', 1)]));
});

test('changes neither what is wanted nor what was seen', () => {
  const desired = wanted(release(2), proven(1));
  const observed = seen([serving('a', 1), starting('b', 2)]);
  const before = structuredClone([desired, observed]);
  forecast(desired, observed);
  assert.deepEqual([desired, observed], before);
});

test('an action is assumed to reach what it is for: it is not planned again', () => {
  const world = { desired: wanted(release(2), proven(1)), observed: seen([serving('a', 1)]) };
  const [first] = plan(world.desired, world.observed);
  assert.ok(first);
  const after = assume(world, first);
  assert.notDeepEqual(plan(after.desired, after.observed)[0], first);
});

test('the effect of an action nobody knows is a defect', () => {
  const world = { desired: wanted(release(1)), observed: seen([]) };
  const unknown = { kind: 'dance' } as unknown as Action;
  assert.throws(() => assume(world, unknown), /no effect known of .*dance/);
});
