/**
 * The registry of a process, kept with prom-client, which is loaded by whoever opens one and nobody else. Bounds what
 * labels may become: a component more than MAX_SERIES allows counts as `other`.
 */
import type { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { VERSION } from '../version.ts';
import { AGENT_METRICS, type AgentMetric, PROCESS_METRICS } from './catalogue.ts';
import type { Metrics } from './metrics.ts';

/** Of one metric, each with all its buckets. */
export const MAX_SERIES = 500;
const OTHER = 'other';
const CPU = 'gantryd_process_cpu_seconds_total';
const HEAP = 'gantryd_nodejs_heap_size_used_bytes';
const EXTERNAL = 'gantryd_nodejs_external_memory_bytes';
/** How exactly delays of the event loop are measured; a finer clock would wake the process more often. */
const LAG_PRECISION_MS = 50;

export interface OpenMetrics extends Metrics {
  readonly contentType: string;
  /** Everything, in Prometheus' text format. */
  text(): Promise<string>;
}

/** `labels`: on every series, as the project's name. The event loop is watched from the first text() on. */
export async function openMetrics(labels: Readonly<Record<string, string>> = {}): Promise<OpenMetrics> {
  return new PromMetrics(await import('prom-client'), labels);
}

type Client = typeof import('prom-client');
type Series = Counter | Gauge | Histogram;

class PromMetrics implements OpenMetrics {
  readonly #client: Client;
  readonly #registry: Registry;
  readonly #metrics: ReadonlyMap<AgentMetric, Series>;
  /** What each metric has, so that there are not too many. */
  readonly #known = new Map<AgentMetric, Set<string>>();
  #watchesProcess = false;

  constructor(client: Client, labels: Readonly<Record<string, string>>) {
    this.#client = client;
    this.#registry = new client.Registry();
    this.#registry.setDefaultLabels({ ...labels });
    const names = Object.keys(AGENT_METRICS) as AgentMetric[];
    this.#metrics = new Map(names.map((name) => [name, this.#made(name)]));
    this.set('gantryd_build_info', { version: VERSION }, 1);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  add(name: AgentMetric, labels: Readonly<Record<string, string>>, by = 1): void {
    (this.#metrics.get(name) as Counter).inc(this.#bounded(name, labels), by);
  }

  set(name: AgentMetric, labels: Readonly<Record<string, string>>, value: number): void {
    (this.#metrics.get(name) as Gauge).set(this.#bounded(name, labels), value);
  }

  observe(name: AgentMetric, labels: Readonly<Record<string, string>>, value: number): void {
    (this.#metrics.get(name) as Histogram).observe(this.#bounded(name, labels), value);
  }

  text(): Promise<string> {
    this.#watchProcess();
    return this.#registry.metrics();
  }

  #made(name: AgentMetric): Series {
    const metric = AGENT_METRICS[name];
    const { help } = metric;
    const shape = { name, help, labelNames: [...metric.labels], registers: [this.#registry] };
    if (metric.kind === 'histogram')
      return new this.#client.Histogram({ ...shape, buckets: [...metric.buckets] });
    return metric.kind === 'counter' ? new this.#client.Counter(shape) : new this.#client.Gauge(shape);
  }

  #bounded(name: AgentMetric, labels: Readonly<Record<string, string>>): Record<string, string> {
    const known = this.#known.get(name) ?? new Set();
    this.#known.set(name, known);
    const key = Object.values(labels).join('\n');
    if (known.has(key) || known.size < MAX_SERIES) {
      known.add(key);
      return labels;
    }
    return Object.fromEntries(Object.keys(labels).map((label) => [label, OTHER]));
  }

  /** prom-client's own metrics, those that tell something; the others are made and never asked. */
  #watchProcess(): void {
    if (this.#watchesProcess) return;
    this.#watchesProcess = true;
    const all = new this.#client.Registry();
    this.#client.collectDefaultMetrics({
      register: all,
      prefix: 'gantryd_',
      eventLoopMonitoringPrecision: LAG_PRECISION_MS,
    });
    // Its own are set only while another of its metrics is asked, which nobody does.
    for (const name of [CPU, HEAP, EXTERNAL]) all.removeSingleMetric(name);
    this.#registry.registerMetric(this.#cpuSeconds());
    this.#registry.registerMetric(this.#memory(HEAP, ({ heapUsed }) => heapUsed));
    this.#registry.registerMetric(this.#memory(EXTERNAL, ({ external }) => external));
    for (const name of Object.keys(PROCESS_METRICS)) {
      const metric = all.getSingleMetric(name);
      if (metric !== undefined) this.#registry.registerMetric(metric as Series);
    }
  }

  #memory(name: typeof HEAP | typeof EXTERNAL, of: (usage: NodeJS.MemoryUsage) => number): Gauge {
    return new this.#client.Gauge({
      ...{ name, help: PROCESS_METRICS[name].help, registers: [] },
      collect() {
        this.set(of(process.memoryUsage()));
      },
    });
  }

  #cpuSeconds(): Counter {
    return new this.#client.Counter({
      ...{ name: CPU, help: PROCESS_METRICS[CPU].help, registers: [] },
      collect() {
        const { user, system } = process.cpuUsage();
        this.reset();
        this.inc((user + system) / 1e6);
      },
    });
  }
}
