import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunValue } from '../../src/cluster/job-values.ts';
import type { Constraint } from '../../src/config/job.ts';
import {
  type Candidate,
  leavesMs,
  MAX_RANK_WAIT_MS,
  place,
  RANK_STEP_MS,
  rankFor,
} from '../../src/jobs/placement.ts';
import { AT, aRun } from './job-values.ts';

const HOSTS = ['h1', 'h2', 'h3'];
const ON_H2: Constraint = { on: 'host', key: '', equals: true, value: 'h2' };

test('the least loaded host ranks first, by the share of its slots', () => {
  const hosts = [host('h1', 2, 4), host('h2', 1, 4), host('h3', 3, 16)];
  assert.deepEqual(ranks(aRun(), hosts), { h1: 2, h2: 1, h3: 0 });
});

test('hosts of the same load have an order that all agree on, another one for another run', () => {
  const hosts = HOSTS.map((name) => host(name, 0, 4));
  const first = new Map<string, number>();
  for (let i = 0; i < 300; i++) {
    const found = ranks(aRun({}, { id: `run-${i}` }), hosts);
    assert.deepEqual(Object.values(found).sort(), [0, 1, 2]);
    const name = HOSTS.find((h) => found[h] === 0) ?? '';
    first.set(name, (first.get(name) ?? 0) + 1);
  }
  for (const name of HOSTS) assert.ok((first.get(name) ?? 0) > 70, `${name} is first for ${first.get(name)}`);
});

test('a host that is full, or that a constraint leaves out, does not rank, and nobody waits for it', () => {
  assert.deepEqual(ranks(aRun(), [host('h1', 4, 4), host('h2', 3, 4)]), { h1: undefined, h2: 0 });
  const run = aRun({ constraints: [ON_H2] });
  assert.deepEqual(ranks(run, [host('h1', 0, 4), host('h2', 3, 4)]), { h1: undefined, h2: 0 });
});

test('the first claims at once, the next ones later by their rank', () => {
  const hosts = [host('h1', 0, 4), host('h2', 1, 4), host('h3', 2, 4)];
  const when = (me: number, waitedMs: number) => placed({ me, hosts, waitedMs, runs: [aRun()] });
  assert.deepEqual(when(0, 0), { claims: ['backup.1'], againInMs: undefined });
  assert.deepEqual(when(1, 0), { claims: [], againInMs: RANK_STEP_MS });
  assert.deepEqual(when(2, 200), { claims: [], againInMs: 2 * RANK_STEP_MS - 200 });
  assert.deepEqual(when(2, 2 * RANK_STEP_MS), { claims: ['backup.1'], againInMs: undefined });
});

test('who cannot take a run leaves it to all that can, but never for longer than the longest wait', () => {
  const [full, h2, h3] = [host('h1', 4, 4), host('h2', 1, 4), host('h3', 2, 4)];
  assert.equal(leavesMs(aRun(), h2, [full, h3]), 0);
  assert.equal(leavesMs(aRun(), h3, [full, h2]), RANK_STEP_MS);
  assert.equal(leavesMs(aRun(), full, [h2, h3]), 2 * RANK_STEP_MS);
  assert.equal(leavesMs(aRun(), undefined, [full]), 0);
  const many = Array.from({ length: 50 }, (_, i) => host(`h${i}`, 0, 4));
  assert.equal(leavesMs(aRun(), full, many), MAX_RANK_WAIT_MS);
});

test('a host never claims more than it has slots free, the first ones first', () => {
  const runs = ['a', 'b', 'c', 'd'].map((id) => aRun({}, { id }));
  assert.deepEqual(placed({ hosts: [host('h1', 1, 3)], runs }).claims, ['a', 'b']);
  assert.deepEqual(placed({ hosts: [host('h1', 3, 3)], runs }).claims, []);
});

test('with equal slots a burst is shared: who has taken one ranks after those who have not', () => {
  const runs = Array.from({ length: 30 }, (_, i) => aRun({}, { id: `run-${i}` }));
  const hosts = HOSTS.map((name) => host(name, 0, 64));
  const claims = hosts.map((_, me) => placed({ me, hosts, runs }).claims);
  for (const [i, own] of claims.entries()) assert.equal(own.length, 1, `${HOSTS[i]} claims ${own}`);
  assert.equal(new Set(claims.flat()).size, 3);
});

test('a pause before the next attempt is kept, and so is the order of a queue', () => {
  const later = aRun({}, { id: 'later', notBefore: AT + 4_000 });
  const queued = aRun({}, { id: 'queued', after: ['first'] });
  const hosts = [host('h1', 0, 4)];
  assert.deepEqual(placed({ hosts, runs: [later] }), { claims: [], againInMs: 4_000 });
  // Its clock was wrong, and has been set back since.
  const never = aRun({}, { id: 'never', notBefore: AT + 365 * 86_400_000 });
  assert.deepEqual(placed({ hosts, runs: [never] }).claims, ['never']);
  assert.deepEqual(placed({ hosts, runs: [queued], underWay: ['first'] }), {
    claims: [],
    againInMs: undefined,
  });
  assert.deepEqual(placed({ hosts, runs: [queued] }).claims, ['queued']);
  assert.deepEqual(placed({ hosts, runs: [aRun({}, { state: 'running' })] }).claims, []);
});

function host(name: string, used: number, slots: number): Candidate {
  return { executor: { host: name, labels: {}, slots }, used };
}

function ranks(run: RunValue, hosts: readonly Candidate[]): Record<string, number | undefined> {
  const others = (me: Candidate) => hosts.filter((h) => h !== me);
  return Object.fromEntries(hosts.map((me) => [me.executor.host, rankFor(run, me, others(me))]));
}

interface Case {
  readonly hosts: readonly Candidate[];
  readonly runs: readonly RunValue[];
  readonly me?: number;
  readonly waitedMs?: number;
  readonly underWay?: readonly string[];
}

function placed({ hosts, runs, me = 0, waitedMs = 0, underWay = [] }: Case) {
  const own = hosts[me] ?? host('nobody', 0, 0);
  const { claim, againInMs } = place({
    ...{ pending: runs, me: own, others: hosts.filter((h) => h !== own), now: AT },
    isUnderWay: (run) => underWay.includes(run),
    waitedMs: () => waitedMs,
  });
  return { claims: claim.map(({ id }) => id), againInMs };
}
