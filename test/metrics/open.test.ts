/** The registry of a process: what is recorded is told, in a form that scrapers take, and there is a bound to it. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { GantryError } from '../../src/errors.ts';
import type { AgentEvent } from '../../src/events.ts';
import { eventRecorder } from '../../src/metrics/agent-events.ts';
import { AGENT_METRICS, PROCESS_METRICS } from '../../src/metrics/catalogue.ts';
import { NO_METRICS, timed } from '../../src/metrics/metrics.ts';
import { MAX_SERIES, openMetrics } from '../../src/metrics/open.ts';
import { parseExposition, seriesSum } from './exposition.ts';

const isLoaded = () =>
  Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('/prom-client/'));

test('nothing of prom-client is loaded before a registry is opened', async () => {
  assert.equal(isLoaded(), false);
  await openMetrics();
  assert.equal(isLoaded(), true);
});

test('what is told is every metric of the catalogue and no other, as scrapers want it', async () => {
  const metrics = await openMetrics({ project: 'shop' });
  metrics.observe('gantryd_reconcile_duration_seconds', { component: 'a "b"\\\n' }, 0.02);
  metrics.add('gantryd_heals_total', { component: 'web', reason: 'failed' });
  const text = await metrics.text();
  const names = [...parseExposition(text).keys()].sort();
  assert.deepEqual(names, [...Object.keys(AGENT_METRICS), ...Object.keys(PROCESS_METRICS)].sort());
  assert.equal(seriesSum(text, 'gantryd_heals_total', { project: 'shop', component: 'web' }), 1);
  assert.equal(seriesSum(text, 'gantryd_reconcile_duration_seconds_bucket', { le: '0.01' }), 0);
  assert.equal(seriesSum(text, 'gantryd_reconcile_duration_seconds_bucket', { le: '0.025' }), 1);
  assert.ok(seriesSum(text, 'gantryd_process_resident_memory_bytes') > 1e6);
  for (const name of Object.keys(PROCESS_METRICS).filter((each) => !each.includes('lag')))
    assert.ok(seriesSum(text, name) > 0, `${name} is told`);
  assert.match(metrics.contentType, /^text\/plain; version=0\.0\.4/);
});

test('the processor time of the process is all that it has used', async () => {
  const metrics = await openMetrics();
  const told = async () => seriesSum(await metrics.text(), 'gantryd_process_cpu_seconds_total');
  const used = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  for (const before of [used(), used()]) {
    const seconds = await told();
    assert.ok(before <= seconds && seconds <= used(), `${before} ${seconds} ${used()}`);
  }
});

test('beyond its bound a metric takes no new labels: what comes counts as other', async () => {
  const metrics = await openMetrics();
  for (let n = 0; n < MAX_SERIES + 20; n++)
    metrics.add('gantryd_container_starts_total', { component: `c${n}` });
  metrics.add('gantryd_container_starts_total', { component: 'c0' });
  const { samples } = parseExposition(await metrics.text()).get('gantryd_container_starts_total') ?? {
    samples: [],
  };
  assert.equal(samples.length, MAX_SERIES + 1);
  assert.equal(samples.find(({ labels }) => labels.component === 'c0')?.value, 2);
  assert.equal(samples.find(({ labels }) => labels.component === 'other')?.value, 20);
});

test('what is told again is what was noted meanwhile too: more of a series, and series that are new', async () => {
  const metrics = await openMetrics({ project: 'shop' });
  const name = 'gantryd_reconcile_lag_seconds';
  const told = async (component: string) => {
    const { samples } = parseExposition(await metrics.text()).get(name) ?? { samples: [] };
    const of = samples.filter(({ labels }) => labels.component === component && labels.project === 'shop');
    return of.map((sample) => `${sample.name.slice(name.length)}${sample.labels.le ?? ''} ${sample.value}`);
  };
  metrics.observe(name, { component: 'a' }, 0.25);
  const first = await told('a');
  assert.equal(first.length, AGENT_METRICS[name].buckets.length + 3);
  assert.deepEqual(
    first.filter((line) => /0\.1 |0\.25 |inf|sum|count/i.test(line)),
    ['_bucket0.1 0', '_bucket0.25 1', '_bucket+Inf 1', '_sum 0.25', '_count 1'],
  );
  assert.deepEqual(await told('a'), first);
  metrics.observe(name, { component: 'a' }, 30);
  metrics.observe(name, { component: 'b' }, 0.1);
  assert.deepEqual((await told('a')).slice(-4), ['_bucket5 1', '_bucket+Inf 2', '_sum 30.25', '_count 2']);
  assert.deepEqual((await told('b')).slice(-3), ['_bucket+Inf 1', '_sum 0.1', '_count 1']);
});

test('a metric without labels is told before anything is noted', async () => {
  const metrics = await openMetrics();
  const text = await metrics.text();
  assert.match(text, /^gantryd_etcd_connected 0$/m);
});

test('calls are measured with their failures, and fail as they did', async () => {
  const metrics = await openMetrics();
  assert.equal(await timed(metrics, 'docker', 'list', async () => 7), 7);
  const refused = new GantryError('engine-failed', 'no');
  await assert.rejects(
    timed(metrics, 'docker', 'list', () => Promise.reject(refused)),
    refused,
  );
  await assert.rejects(
    timed(metrics, 'etcd', 'txn', () => Promise.reject(new Error('gone'))),
    /gone/,
  );
  assert.equal(await timed(NO_METRICS, 'etcd', 'txn', async () => 1), 1);
  const text = await metrics.text();
  assert.equal(seriesSum(text, 'gantryd_docker_call_duration_seconds_count', { call: 'list' }), 2);
  assert.equal(
    seriesSum(text, 'gantryd_docker_call_errors_total', { call: 'list', code: 'engine-failed' }),
    1,
  );
  assert.equal(seriesSum(text, 'gantryd_etcd_call_errors_total', { call: 'txn' }), 1);
});

test('events are counted: rollouts, releases, heals, starts and restarts, runs, ticks, etcd', async () => {
  const metrics = await openMetrics();
  const record = eventRecorder(metrics);
  assert.equal(
    seriesSum(await metrics.text(), 'gantryd_etcd_connected'),
    1,
    'as long as nobody said otherwise',
  );
  const of = { component: 'web', at: 0 };
  const lastWords = { logs: [] };
  const events: readonly AgentEvent[] = [
    { ...of, kind: 'container-created', container: 'a', name: 'a', release: 1, why: '' },
    { ...of, kind: 'container-started', container: 'a', release: 1 },
    { ...of, kind: 'container-started', container: 'a', release: 1 },
    { ...of, kind: 'release-proven', release: 1 },
    { ...of, kind: 'release-failed', release: 2, container: 'b', why: '', lastWords, serving: 1 },
    { ...of, kind: 'rollout-decided', decision: 'taken-back', release: 2, to: 1, generation: 3, why: '' },
    { ...of, kind: 'container-failed', container: 'a', why: '', lastWords },
    { ...of, kind: 'health-changed', container: 'a', was: 'unknown', now: 'healthy', why: '' },
    { ...of, kind: 'health-changed', container: 'a', was: 'healthy', now: 'unhealthy', why: '' },
    { ...of, kind: 'mass-failure', failed: 2, instances: 3, why: '' },
    { ...of, kind: 'drain-cut', container: 'a', connections: 4, why: '' },
    { ...of, kind: 'trouble', code: 'engine-failed', message: '' },
    { ...of, kind: 'cluster', connected: false, why: '' },
    { ...of, kind: 'run-changed', run: 'r', state: 'complete', attempt: 1, why: '' },
    { ...of, kind: 'schedule-ticked', schedule: 's', instant: '', run: 'r', why: '' },
    { ...of, kind: 'schedule-ticked', schedule: 's', instant: '', why: '' },
    { ...of, kind: 'monitoring' },
  ];
  for (const event of events) record(event);
  const text = await metrics.text();
  const told = (name: string, labels: Readonly<Record<string, string>> = {}) => seriesSum(text, name, labels);
  assert.deepEqual(
    [told('gantryd_container_starts_total', { component: 'web' }), told('gantryd_restarts_total')],
    [2, 1],
  );
  assert.equal(told('gantryd_rollouts_total', { component: 'web', result: 'taken-back' }), 1);
  assert.equal(told('gantryd_releases_total', { result: 'proven' }), 1);
  assert.equal(told('gantryd_releases_total', { result: 'failed' }), 1);
  assert.equal(told('gantryd_heals_total', { reason: 'failed' }), 1);
  assert.equal(told('gantryd_heals_total', { reason: 'unhealthy' }), 1);
  assert.equal(told('gantryd_mass_failures_total'), 1);
  assert.equal(told('gantryd_drain_connections_cut_total'), 4);
  assert.equal(told('gantryd_troubles_total', { code: 'engine-failed' }), 1);
  assert.equal(told('gantryd_etcd_connected'), 0);
  assert.equal(told('gantryd_job_runs_total', { state: 'complete' }), 1);
  assert.equal(told('gantryd_schedule_ticks_total', { result: 'run' }), 1);
  assert.equal(told('gantryd_schedule_ticks_total', { result: 'passed' }), 1);
});
