/** Where no event tells it: calls of Docker and etcd, rounds, drains and checks are measured where they are made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Observed, ObservedContainer } from '../../src/agent/plan/state.ts';
import { RoundNumbers } from '../../src/agent/round-numbers.ts';
import { verdictHearer } from '../../src/agent/verdicts.ts';
import type { Check } from '../../src/checks/check.ts';
import { openStore } from '../../src/cluster/etcd/etcd-store.ts';
import { openEngine } from '../../src/docker/dockerode.ts';
import { openMetrics } from '../../src/metrics/open.ts';
import { fakeDockerd, json } from '../docker/fake-dockerd.ts';
import { skipWithoutEtcd, startEtcd } from '../ground/etcd.ts';
import { until } from '../ground/harness.ts';
import { seriesSum } from './exposition.ts';

test('calls of the engine are measured by name, and failures by code', async (t) => {
  const daemon = await fakeDockerd();
  const metrics = await openMetrics();
  const engine = openEngine({ address: daemon.address, metrics });
  t.after(() => daemon.close());
  t.after(() => engine.close());
  daemon.answers.set('GET /containers/json', json([]));
  await engine.containers({});
  await engine.containers({});
  daemon.answers.set('GET /containers/json', json({ message: 'no' }, 500));
  await assert.rejects(engine.containers({}));
  const text = await metrics.text();
  assert.equal(seriesSum(text, 'gantryd_docker_call_duration_seconds_count', { call: 'list' }), 3);
  assert.equal(seriesSum(text, 'gantryd_docker_call_duration_seconds_count', { call: 'version' }), 1);
  assert.equal(
    seriesSum(text, 'gantryd_docker_call_errors_total', { call: 'list', code: 'engine-failed' }),
    1,
  );
});

test('calls of etcd are measured by name, and failures counted', { skip: skipWithoutEtcd }, async (t) => {
  const etcd = await startEtcd(t, { members: 1 });
  const metrics = await openMetrics();
  const store = openStore({ endpoints: etcd.endpoints, metrics });
  t.after(() => store.close());
  await store.get('a');
  await store.commit([], [{ kind: 'put', key: 'a', value: '1' }]);
  const nowhere = openStore({ endpoints: ['127.0.0.1:1'], metrics, callTimeoutMs: 300 });
  await assert.rejects(nowhere.get('a'));
  await nowhere.close();
  const text = await metrics.text();
  assert.ok(seriesSum(text, 'gantryd_etcd_call_duration_seconds_count', { call: 'range' }) >= 2);
  assert.equal(seriesSum(text, 'gantryd_etcd_call_duration_seconds_count', { call: 'txn' }), 1);
  assert.ok(seriesSum(text, 'gantryd_etcd_call_errors_total', { call: 'range' }) >= 1);
  assert.equal(seriesSum(text, 'gantryd_etcd_call_errors_total', { call: 'txn' }), 0);
});

test('a watch that ends has everything listed anew, which is counted', {
  skip: skipWithoutEtcd,
}, async (t) => {
  const etcd = await startEtcd(t, { members: 1 });
  const metrics = await openMetrics();
  const store = openStore({ endpoints: etcd.endpoints, metrics });
  t.after(() => store.close());
  const mirror = store.follow({ range: { from: 'a', to: 'b' }, onChange: () => {} });
  await until(() => mirror.current, { timeoutMs: 10_000, what: 'the mirror to be current' });
  const relists = async () =>
    seriesSum(await metrics.text(), 'gantryd_etcd_relists_total', { reason: 'restart' });
  assert.equal(await relists(), 0, 'the first is none');
  await etcd.restore(await etcd.snapshot());
  await until(async () => (await relists()) > 0, { timeoutMs: 15_000, what: 'a listing after the restart' });
});

test('a round is measured from its begin to its end, once, and what drains is told with the oldest', async () => {
  const metrics = await openMetrics();
  const numbers = new RoundNumbers(metrics, 'web');
  const draining = (since: number) => ({ drain: { since } }) as ObservedContainer;
  const seen = (containers: readonly ObservedContainer[]) => ({ containers, now: 60_000 }) as Observed;
  numbers.begin();
  numbers.saw(seen([draining(50_000), draining(20_000), {} as ObservedContainer]));
  numbers.end();
  numbers.end();
  numbers.begin();
  numbers.failed();
  const during = await metrics.text();
  assert.equal(seriesSum(during, 'gantryd_reconcile_duration_seconds_count', { component: 'web' }), 2);
  assert.equal(seriesSum(during, 'gantryd_reconcile_failures_total', { component: 'web' }), 1);
  assert.equal(seriesSum(during, 'gantryd_drains'), 2);
  assert.equal(seriesSum(during, 'gantryd_drain_oldest_seconds'), 40);
  numbers.saw(seen([]));
  const after = await metrics.text();
  assert.deepEqual(
    [seriesSum(after, 'gantryd_drains'), seriesSum(after, 'gantryd_drain_oldest_seconds')],
    [0, 0],
  );
});

test('every verdict is measured, and only what changes is told', async () => {
  const metrics = await openMetrics();
  const told: string[] = [];
  const hear = verdictHearer({
    ...{ container: 'a', purpose: 'health', metrics },
    tell: ({ kind }) => void told.push(kind),
  });
  const check = {} as Check;
  const verdict = { check: 'c', at: 0, latencyMs: 20, saw: '' };
  for (const ok of [true, true, false]) hear({ ...verdict, ok }, check);
  hear({ ...verdict, ok: false, inconclusive: true }, check);
  assert.deepEqual(told, ['check', 'check']);
  const text = await metrics.text();
  const measured = (name: string) =>
    seriesSum(text, 'gantryd_check_duration_seconds_count', { purpose: 'health', verdict: name });
  assert.deepEqual([measured('pass'), measured('fail'), measured('inconclusive')], [2, 1, 1]);
  assert.equal(seriesSum(text, 'gantryd_check_duration_seconds_sum', { verdict: 'pass' }), 0.04);
});
