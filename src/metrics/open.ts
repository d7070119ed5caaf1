/**
 * The registry of a process, told with prom-client, which is loaded by whoever opens one and nobody else. The numbers
 * themselves are in series.ts: an agent notes some for each check, and is asked for all of them now and then.
 */
import type { Counter, Gauge, Histogram, Metric, Registry } from 'prom-client';
import { VERSION } from '../version.ts';
import { AGENT_METRICS, type AgentMetric, PROCESS_METRICS } from './catalogue.ts';
import type { Metrics } from './metrics.ts';
import { Series, type Write } from './series.ts';

export { MAX_SERIES } from './series.ts';

const CPU = 'gantryd_process_cpu_seconds_total';
const HEAP = 'gantryd_nodejs_heap_size_used_bytes';
const EXTERNAL = 'gantryd_nodejs_external_memory_bytes';
/** How exactly delays of the event loop are measured. Twenty times a second instead took a tenth of what an agent at rest may take. */
const LAG_PRECISION_MS = 250;

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
type Watched = Counter | Gauge | Histogram;

class PromMetrics implements OpenMetrics {
  readonly #client: Client;
  /** Of the process alone. */
  readonly #registry: Registry;
  readonly #series: ReadonlyMap<AgentMetric, Series>;
  readonly #labels: Readonly<Record<string, string>>;
  #watchesProcess = false;

  constructor(client: Client, labels: Readonly<Record<string, string>>) {
    this.#client = client;
    this.#labels = labels;
    this.#registry = new client.Registry();
    this.#registry.setDefaultLabels({ ...labels });
    const names = Object.keys(AGENT_METRICS) as AgentMetric[];
    this.#series = new Map(names.map((name) => [name, new Series(name, AGENT_METRICS[name])]));
    this.set('gantryd_build_info', { version: VERSION }, 1);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  add(name: AgentMetric, labels: Readonly<Record<string, string>>, by = 1): void {
    this.#series.get(name)?.add(labels, by);
  }

  set(name: AgentMetric, labels: Readonly<Record<string, string>>, value: number): void {
    this.#series.get(name)?.set(labels, value);
  }

  observe(name: AgentMetric, labels: Readonly<Record<string, string>>, value: number): void {
    this.#series.get(name)?.observe(labels, value);
  }

  async text(): Promise<string> {
    this.#watchProcess();
    const series = Array.from(this.#series.values(), (each) => each.text(this.#write));
    return (await Promise.all([...series, this.#registry.metrics()])).join('\n\n');
  }

  /** prom-client asks a metric for its values and nothing else. */
  readonly #write: Write = (name, { help, kind: type }, values) => {
    const metric = { name, get: async () => ({ name, help, type, values, aggregator: 'sum' }) };
    const registry = new this.#client.Registry();
    registry.setDefaultLabels({ ...this.#labels });
    registry.registerMetric(metric as unknown as Metric);
    return registry.getSingleMetricAsString(name);
  };

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
      if (metric !== undefined) this.#registry.registerMetric(metric as Watched);
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
