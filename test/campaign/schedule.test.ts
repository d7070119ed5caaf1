/** The schedule of a campaign comes from its seed alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { described, type Kind, type Plan, SORTS, scheduleOf } from './schedule.ts';

const PLAN: Plan = { seed: 7, ms: 600_000, hosts: ['a', 'b', 'c'], members: 3, paceMs: 4_000 };
const kindsIn = (plan: Plan) => new Set(scheduleOf(plan).map(({ deed }) => deed.kind));

test('the same seed draws the same acts, another one others', () => {
  const told = (plan: Plan) => scheduleOf(plan).map(described).join('\n');
  assert.equal(told(PLAN), told({ ...PLAN }));
  assert.notEqual(told(PLAN), told({ ...PLAN, seed: 8 }));
});

test('a long one has every kind but those that are only done when asked for, in the order of their times', () => {
  const secret = (Object.keys(SORTS) as Kind[]).filter((kind) => SORTS[kind].share === 0);
  const wanted = (Object.keys(SORTS) as Kind[]).filter((kind) => !secret.includes(kind));
  assert.deepEqual([...kindsIn(PLAN)].sort(), wanted.sort());
  const times = scheduleOf(PLAN).map(({ at }) => at);
  assert.deepEqual(
    times,
    [...times].sort((a, b) => a - b),
  );
  assert.ok(times.every((at) => at >= 0 && at < PLAN.ms));
});

test('asked for some kinds, it has these faults and all operators', () => {
  const kinds = kindsIn({ ...PLAN, only: ['crash', 'secret-kill'] });
  const faults = [...kinds].filter((kind) => SORTS[kind].lane !== 'operators');
  assert.deepEqual(faults.sort(), ['crash', 'secret-kill']);
  assert.ok(kinds.has('deploy') && kinds.has('deploy-bad'));
});

test('a host more leaves the acts of the others as they are', () => {
  const of = (plan: Plan, lane: string) => scheduleOf(plan).filter((act) => act.lane === lane);
  const more = { ...PLAN, hosts: ['a', 'b', 'c', 'd'] };
  for (const lane of ['operators', 'etcd', 'host a', 'host c'])
    assert.deepEqual(of(more, lane), of(PLAN, lane), lane);
});

test('no fault lasts longer than is asked for', () => {
  const acts = scheduleOf({ ...PLAN, longestMs: 1_000 });
  assert.ok(acts.every(({ deed }) => !('ms' in deed) || deed.ms <= 1_000));
});
