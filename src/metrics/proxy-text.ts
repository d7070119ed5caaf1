/** What a proxy has counted, in Prometheus' text format. Loads prom-client with the first call. */
import type { Metric, Registry } from 'prom-client';
import type { ProxyMetrics, TrafficReport } from '../proxy/control/protocol.ts';
import { PROXY_METRICS, type ProxyMetric } from './catalogue.ts';

/** By the place in TrafficReport.answers. */
const STATUS = ['left', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;

interface Value {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

type Values = Partial<Record<ProxyMetric, readonly Value[]>>;

/** What was counted, in the words it was last told in: of a hundred components it is some thousand lines. */
let last: { readonly counted: string; readonly text: string } | undefined;

/** `proxy` undefined: none runs, or it does not answer. */
export async function proxyText(proxy: ProxyMetrics | undefined): Promise<string> {
  if (proxy === undefined) return written({ gantryd_proxy_up: [just(0)] });
  const parts = [written(ofProcess(proxy)), trafficText(proxy), written(ofNow(proxy))];
  return (await Promise.all(parts)).join('\n');
}

/** As long as nothing is counted it is told as it was. */
async function trafficText(proxy: ProxyMetrics): Promise<string> {
  const counted = JSON.stringify([proxy.traffic, proxy.latencyBoundsMs]);
  if (last?.counted === counted) return last.text;
  const text = await written(ofTraffic(proxy));
  last = { counted, text };
  return text;
}

async function written(values: Values): Promise<string> {
  const { Registry } = await import('prom-client');
  const registry = new Registry();
  for (const [name, found] of Object.entries(values)) register(registry, name as ProxyMetric, found);
  return registry.metrics();
}

/** prom-client asks a metric for its values and nothing else; here they are known already. */
function register(registry: Registry, name: ProxyMetric, values: readonly Value[]): void {
  const { kind: type, help } = PROXY_METRICS[name];
  const metric = { name, get: async () => ({ name, help, type, values, aggregator: 'sum' }) };
  registry.registerMetric(metric as unknown as Metric);
}

function ofProcess(proxy: ProxyMetrics): Values {
  return {
    gantryd_proxy_up: [just(1)],
    gantryd_proxy_info: [{ labels: { version: proxy.version }, value: 1 }],
    gantryd_proxy_start_time_seconds: [just(Date.parse(proxy.startedAt) / 1000)],
    gantryd_proxy_generations: [just(proxy.generations)],
    gantryd_proxy_silent_generations: [just(proxy.silent)],
    gantryd_proxy_workers: [just(proxy.workers ?? 1)],
    gantryd_proxy_older_client_connections: [just(proxy.olderConnections)],
    gantryd_proxy_resident_memory_bytes: [just(proxy.residentBytes)],
    gantryd_proxy_cpu_seconds_total: [just(proxy.cpuSeconds)],
  };
}

function ofTraffic({ traffic, latencyBoundsMs }: ProxyMetrics): Values {
  const counted = (count: (report: TrafficReport) => number) =>
    traffic.map((report) => ({ labels: named(report), value: count(report) }));
  // Who found no container has no release.
  const perComponent = (count: (report: TrafficReport) => number) =>
    summed(traffic.map((report) => ({ labels: ofComponent(report), value: count(report) })));
  return {
    gantryd_proxy_requests_total: traffic.flatMap((report) =>
      report.answers.map((value, at) => ({
        labels: { ...named(report), status: STATUS[at] ?? 'left' },
        value,
      })),
    ),
    gantryd_proxy_request_duration_seconds: traffic.flatMap((report) => durations(report, latencyBoundsMs)),
    gantryd_proxy_tcp_connections_total: counted(({ tcp }) => tcp),
    gantryd_proxy_dial_failures_total: counted(({ dialFailures }) => dialFailures),
    gantryd_proxy_held_clients_total: perComponent(({ held }) => held),
    gantryd_proxy_refused_clients_total: perComponent(({ refused }) => refused),
  };
}

/** A histogram's series: how many took up to each bound, the sum, and how many there were. */
function durations(report: TrafficReport, boundsMs: readonly number[]): readonly Value[] {
  const name = 'gantryd_proxy_request_duration_seconds';
  const labels = named(report);
  let count = 0;
  const buckets = [...boundsMs, Number.POSITIVE_INFINITY].map((bound, at) => {
    count += report.latency[at] ?? 0;
    const le = bound === Number.POSITIVE_INFINITY ? '+Inf' : String(bound / 1000);
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: report.tookMs / 1000 },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

function ofNow({ open, drains, listeners, waiting }: ProxyMetrics): Values {
  const phased = open.map((report) => ({
    ...report,
    labels: { ...named(report), phase: report.routed ? 'serving' : 'draining' },
  }));
  // Every component that could have one, so that its end is seen as 0.
  const none = listeners.map((of) => ({ labels: ofComponent(of), value: 0 }));
  const drained = drains.map((drain) => ({ labels: ofComponent(drain), ageMs: drain.ageMs }));
  return {
    gantryd_proxy_requests_in_flight: phased.map(({ labels, inFlight: value }) => ({ labels, value })),
    gantryd_proxy_connections_open: phased.flatMap(({ labels, upgraded, tcp, udp }) => [
      { labels: { ...labels, kind: 'upgraded' }, value: upgraded },
      { labels: { ...labels, kind: 'tcp' }, value: tcp },
      ...(udp === undefined ? [] : [{ labels: { ...labels, kind: 'udp' }, value: udp }]),
    ]),
    gantryd_proxy_client_connections: summed(
      listeners.map((of) => ({ labels: ofComponent(of), value: of.connections })),
    ),
    gantryd_proxy_listeners: summed(
      listeners.map(({ owner, kind }) => ({ labels: { project: owner, kind }, value: 1 })),
    ),
    gantryd_proxy_waiting_clients: Object.entries(waiting).map(([project, value]) => ({
      labels: { project },
      value,
    })),
    gantryd_proxy_drains: summed([...none, ...drained.map(({ labels }) => ({ labels, value: 1 }))]),
    gantryd_proxy_drain_oldest_seconds: summed(
      [...none, ...drained.map(({ labels, ageMs }) => ({ labels, value: ageMs / 1000 }))],
      Math.max,
    ),
  };
}

function named({ owner, component, release }: Pick<TrafficReport, 'owner' | 'component' | 'release'>) {
  return { project: owner, component, release };
}

function ofComponent({ owner, component }: Pick<TrafficReport, 'owner' | 'component'>) {
  return { project: owner, component };
}

function just(value: number): Value {
  return { labels: {}, value };
}

/** One value for each set of labels. */
function summed(values: readonly Value[], sum = (a: number, b: number) => a + b): readonly Value[] {
  const byLabels = new Map<string, Value>();
  for (const { labels, value } of values) {
    const key = JSON.stringify(labels);
    const known = byLabels.get(key);
    byLabels.set(key, { labels, value: known === undefined ? value : sum(known.value, value) });
  }
  return [...byLabels.values()];
}
