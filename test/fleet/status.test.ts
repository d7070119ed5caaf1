/** What a host tells of a component, as a specification: what was seen, the step it is at, and the words for it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { View } from '../../src/agent/agent.ts';
import { plan } from '../../src/agent/plan/plan.ts';
import type { ObservedContainer, Release } from '../../src/agent/plan/state.ts';
import { type ComponentRecord, desiredOf } from '../../src/agent/record.ts';
import type { Step } from '../../src/fleet/rollout.ts';
import { isNews, type StatusInput, sameStatus, statusOf } from '../../src/fleet/status.ts';
import {
  draining,
  exited,
  late,
  NOW,
  proven,
  ready,
  release,
  seen,
  serving,
  starting,
  unhealthy,
} from '../agent/builders.ts';

const RESTS: Step = { kind: 'wait', for: 'intent', why: '' };

function viewOf(
  wanted: Release | undefined,
  containers: readonly ObservedContainer[],
  over: Partial<ComponentRecord> = {},
): View {
  const record: ComponentRecord = {
    ...{ format: 1, status: 'ready', release: wanted?.number ?? 0, marks: {}, linkPorts: {} },
    releases: wanted === undefined ? [] : [wanted],
    fleet: { generation: 5, attempt: 1, settled: 5 },
    ...over,
  };
  const [desired, observed] = [desiredOf('shop', 'web', record), seen(containers)];
  return { record, version: '1', desired, observed, plan: plan(desired, observed) };
}

function told(view: View, over: Partial<StatusInput> = {}) {
  const input = { host: 'a', view, step: RESTS, trouble: undefined, logs: [], died: undefined };
  const known = { release: 0, generation: 0 };
  return statusOf({ ...input, before: undefined, known, connections: new Map(), ...over });
}

const wait = (what: Extract<Step, { kind: 'wait' }>['for'], over = {}): Step => {
  return { kind: 'wait', for: what, why: 'so it is', ...over };
};

describe('the phase', () => {
  const two = proven(2, { instances: 2 });
  const phases: readonly (readonly [string, View, Step?, string?])[] = [
    ['idle', viewOf(undefined, [])],
    ['preparing', viewOf(proven(1), [serving('x', 1)]), { kind: 'prepare', why: 'it is wanted here' }],
    ['preparing', viewOf(proven(1), [serving('x', 1)]), wait('image')],
    ['waiting', viewOf(proven(1), [serving('x', 1)]), wait('turn')],
    ['waiting', viewOf(proven(1), [serving('x', 1)]), wait('links')],
    ['starting', viewOf(proven(1), [serving('x', 1)]), { kind: 'adopt', proven: false, why: 'its turn' }],
    ['starting', viewOf(release(2), [serving('x', 1), starting('y', 2)]), wait('ready')],
    [
      'draining',
      viewOf(proven(1), [serving('x', 1)]),
      { kind: 'follow-status', status: 'stopped', why: 'me' },
    ],
    [
      'stopped',
      viewOf(proven(1), [], { status: 'stopped' }),
      { kind: 'follow-status', status: 'killed', why: 'me' },
    ],
    ['watching', viewOf(proven(2), [serving('y', 2)]), wait('monitor')],
    ['serving', viewOf(two, [serving('x', 2), serving('y', 2)])],
    ['degraded', viewOf(two, [serving('x', 2), unhealthy('y', 2)])],
    ['degraded', viewOf(two, [serving('x', 2)])],
    ['starting', viewOf(two, [])],
    ['failed', viewOf(two, []), RESTS, 'the engine is away'],
    ['draining', viewOf(proven(2), [draining('x', 2)], { status: 'stopped' })],
    ['stopped', viewOf(proven(2), [], { status: 'stopped' })],
    ['failed', viewOf(release(2), [], { status: 'stopped', reason: 'it exited' })],
  ];
  for (const [phase, view, step = RESTS, trouble] of phases) {
    const ids = view.observed.containers.map((c) => `${c.id} of release ${c.release}`);
    test(`is ${phase} with ${ids.join(', ') || 'no container'} at '${step.kind} ${step.why}'`, () => {
      assert.equal(told(view, { step, trouble }).phase, phase);
    });
  }

  test('has begun when it was told first', () => {
    const view = viewOf(proven(2), [serving('x', 2)]);
    const before = { ...told(view), since: '2030-01-01T00:00:00.000Z' };
    assert.equal(told(view, { before }).since, before.since);
    const other = told(view, { before, step: wait('monitor') });
    assert.equal(other.since, new Date(NOW).toISOString());
  });
});

describe('a container', () => {
  test('is what it does', () => {
    const all = [
      serving('a', 2),
      starting('b', 2),
      ready('c', 2),
      ready('d', 1, { served: true, warmUntil: NOW + 1 }),
      draining('e', 1),
      exited('f', 2),
      late('g', 2),
      unhealthy('h', 2),
    ];
    const states = told(viewOf(proven(2), all)).containers.map((c) => `${c.id} ${c.state}`);
    const well = ['a serving', 'b starting', 'c ready', 'd warm', 'e draining'];
    assert.deepEqual(states, [...well, 'f failed', 'g failed', 'h failed']);
  });

  test('has the connections that were counted last', () => {
    const view = viewOf(proven(2), [serving('x', 2), draining('y', 1)]);
    const { containers } = told(view, { connections: new Map([['x', 7]]) });
    assert.deepEqual(
      containers.map((c) => c.connections),
      [7, 2],
    );
  });

  test('began when it was marked; where nobody knows, when it was seen first', () => {
    const marks = { x: { startedAt: NOW - 5_000 } };
    const view = viewOf(proven(2), [serving('x', 2), serving('y', 2)], { marks });
    const before = told(view);
    const later = { ...view, observed: { ...view.observed, now: NOW + 60_000 } };
    for (const { containers } of [before, told(later, { before })]) {
      const begun = containers.map((c) => Date.parse(c.startedAt) - NOW);
      assert.deepEqual(begun, [-5_000, 0]);
    }
  });
});

describe('what is told at once', () => {
  const view = viewOf(proven(2), [serving('x', 2)]);
  const before = told(view);

  test('is the first word, and what others wait for', () => {
    assert.ok(isNews(undefined, before));
    for (const over of [{ settled: 6 }, { generation: 6 }, { serving: 3 }, { retryAt: 7 }])
      assert.ok(isNews(before, { ...before, ...over }), JSON.stringify(over));
    assert.ok(isNews(before, told(view, { step: wait('turn') })));
  });

  test('is not what changes all the time', () => {
    const busy = told(view, { connections: new Map([['x', 7]]), before });
    assert.equal(isNews(before, busy), false);
    assert.equal(sameStatus(before, busy), false);
  });

  test('is nothing where only the time goes on, or a check takes another time', () => {
    const saw = (ms: number) => viewOf(proven(2), [serving('x', 2, { saw: `it answered 200 in ${ms} ms` })]);
    const first = told(saw(3));
    const later = { ...saw(41), observed: { ...saw(41).observed, now: NOW + 60_000 } };
    assert.equal(sameStatus(first, told(later, { before: first })), true);
    assert.equal(first.containers[0]?.check, 'it answered 200');
  });
});

test('the highest numbers are told, also of what was never followed: they must not be given out again', () => {
  const view = viewOf(proven(2), [serving('x', 2)]);
  assert.deepEqual(told(view).known, { release: 2, generation: 5 });
  const known = { release: 7, generation: 9 };
  assert.deepEqual(told(view, { known }).known, known);
});

test('the worst is told, at a bounded length', () => {
  const view = viewOf(proven(2), [serving('x', 2)]);
  assert.equal(told(view, { step: wait('turn'), trouble: 'the engine is away' }).why, 'the engine is away');
  const long = told(view, { trouble: 'x'.repeat(1_000), logs: ['y'.repeat(1_000)] });
  assert.deepEqual([long.why.length, long.logs[0]?.length], [300, 300]);
  assert.equal(told(view, { step: wait('image', { until: NOW + 7 }) }).retryAt, NOW + 7);
});

test('what died is told at once, also when all is well again', () => {
  const view = viewOf(proven(2), [serving('x', 2)]);
  const death = { container: 'w', exitCode: 137, oomKilled: true, at: '2030-01-01T00:00:00.000Z' };
  const now = told(view, { died: { ...death, logs: ['x'.repeat(400)] } });
  assert.deepEqual(now.died, { ...death, logs: ['x'.repeat(300)] });
  assert.equal(now.phase, 'serving');
  assert.equal(isNews(told(view), now), true);
  assert.equal(isNews(now, now), false);
});
