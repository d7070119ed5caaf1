/** Every kind of action has words an operator can read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain, explainAction } from '../../../src/agent/plan/explain.ts';
import type { Action } from '../../../src/agent/plan/plan.ts';

const LONG = '39d59e26ee64a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef01234';
const of = { component: 'web', why: 'so' } as const;
const on = { ...of, container: LONG } as const;
const route = { ...of, kind: 'route', release: 2, listeners: [] } as const;

const WORDS: Record<Action['kind'], readonly [action: Action, words: string]> = {
  'pull-image': [{ ...of, kind: 'pull-image', image: 'example/web:2' }, 'pull example/web:2'],
  'create-container': [{ ...of, kind: 'create-container', release: 2 }, 'start a new container of release 2'],
  'start-container': [{ ...on, kind: 'start-container' }, 'start 39d59e26ee64'],
  route: [{ ...route, containers: [LONG, 'b'] }, 'route to 39d59e26ee64, b'],
  'promote-release': [{ ...of, kind: 'promote-release', release: 2 }, 'promote release 2'],
  'prove-release': [{ ...of, kind: 'prove-release', release: 2 }, 'settle on release 2'],
  'fail-release': [{ ...on, kind: 'fail-release', release: 2 }, 'give up release 2'],
  drain: [{ ...on, kind: 'drain' }, 'drain 39d59e26ee64'],
  'send-signals': [{ ...on, kind: 'send-signals' }, 'send the termination signals to 39d59e26ee64'],
  'stop-container': [{ ...on, kind: 'stop-container' }, 'stop 39d59e26ee64'],
  'kill-container': [{ ...on, kind: 'kill-container' }, 'kill 39d59e26ee64'],
  'remove-container': [{ ...on, kind: 'remove-container' }, 'remove 39d59e26ee64'],
  'remove-failed': [{ ...on, kind: 'remove-failed' }, 'keep the last words of 39d59e26ee64 and remove it'],
  wait: [{ ...of, kind: 'wait', for: 'ready', until: undefined }, 'wait for ready'],
};

for (const [kind, [action, words]] of Object.entries(WORDS)) {
  test(`${kind} is explained with its reason`, () => {
    assert.equal(explainAction(action), `web: ${words} (so)`);
  });
}

test('a route to no container says so', () => {
  assert.equal(explainAction({ ...route, containers: [] }), 'web: route nothing (so)');
});

test('a route with a canary says who gets how much', () => {
  const canary = { id: 'release 2', backends: [LONG], percent: 10 };
  const words = 'web: route to a, b, and 10 % to 39d59e26ee64 (so)';
  assert.equal(explainAction({ ...route, containers: ['a', 'b', LONG], canary }), words);
});

test('a plan is one line an action, and an empty one says nothing', () => {
  const drain: Action = { ...on, kind: 'drain' };
  assert.equal(explain([drain, drain]), 'web: drain 39d59e26ee64 (so)\nweb: drain 39d59e26ee64 (so)');
  assert.equal(explain([]), '');
});

test('an action nobody knows is a defect, not a silent line', () => {
  const unknown = { ...on, kind: 'dance' } as unknown as Action;
  assert.throws(() => explainAction(unknown), /no words for .*dance/);
});
