/** What a proxy has counted, as it is told again and again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyText } from '../../src/metrics/proxy-text.ts';
import type { ProxyMetrics, TrafficReport } from '../../src/proxy/control/protocol.ts';
import { parseExposition, seriesSum } from './exposition.ts';

function counted(component: string, requests: number): TrafficReport {
  const names = { owner: 'shop', component, release: '1' };
  const answers = [0, 0, requests, 0, 0, 0];
  const none = { tcp: 0, dialFailures: 0, held: 0, refused: 0 };
  return { ...names, ...none, answers, latency: [requests, 0], tookMs: requests };
}

function numbers(traffic: readonly TrafficReport[], cpuSeconds: number): ProxyMetrics {
  const now = { open: [], drains: [], listeners: [], waiting: {}, generations: 1, silent: 0 };
  const process = { version: '1', startedAt: '2026-01-01T00:00:00Z', residentBytes: 1, cpuSeconds };
  return { ...now, ...process, latencyBoundsMs: [5], olderConnections: 0, traffic };
}

test('what is told again is what was counted since, beside what changes all the time', async () => {
  const told = async (traffic: readonly TrafficReport[], cpuSeconds: number) => {
    const text = await proxyText(numbers(traffic, cpuSeconds));
    parseExposition(text);
    const sum = (name: string, labels = {}) => seriesSum(text, `gantryd_proxy_${name}`, labels);
    return [
      sum('requests_total', { component: 'web' }),
      sum('request_duration_seconds_count', { component: 'web' }),
      sum('requests_total', { component: 'api' }),
      sum('cpu_seconds_total'),
    ];
  };
  assert.deepEqual(await told([counted('web', 1)], 1), [1, 1, 0, 1]);
  assert.deepEqual(await told([counted('web', 1)], 2), [1, 1, 0, 2]);
  assert.deepEqual(await told([counted('web', 1), counted('api', 3)], 3), [1, 1, 3, 3]);
  assert.deepEqual(await told([counted('web', 2)], 4), [2, 2, 0, 4]);
  assert.equal(seriesSum(await proxyText(undefined), 'gantryd_proxy_up'), 0);
});
