/**
 * What the rest of gantryd records its numbers with. Loads nothing: whoever has no registry passes NO_METRICS, and
 * whoever has one opens it with open.ts.
 */
import { isGantryError } from '../errors.ts';
import type { AGENT_METRICS, AgentMetric } from './catalogue.ts';

type Named<K extends string> = {
  [N in AgentMetric]: (typeof AGENT_METRICS)[N]['kind'] extends K ? N : never;
}[AgentMetric];

export type LabelsOf<N extends AgentMetric> = Readonly<
  Record<(typeof AGENT_METRICS)[N]['labels'][number], string>
>;

/** Cheap, synchronous, and never throws. Beyond so many series of one metric, components become `other`. */
export interface Metrics {
  /** One more, or `by` more. */
  add<N extends Named<'counter'>>(name: N, labels: LabelsOf<N>, by?: number): void;
  set<N extends Named<'gauge'>>(name: N, labels: LabelsOf<N>, value: number): void;
  /** `value` in the unit of the name. */
  observe<N extends Named<'histogram'>>(name: N, labels: LabelsOf<N>, value: number): void;
}

export const NO_METRICS: Metrics = { add() {}, set() {}, observe() {} };

/** Runs a call of another program, and notes how long it took and whether it failed. Throws what it throws. */
export async function timed<T>(
  metrics: Metrics,
  program: 'docker' | 'etcd',
  call: string,
  run: () => Promise<T>,
): Promise<T> {
  if (metrics === NO_METRICS) return run();
  const since = performance.now();
  try {
    return await run();
  } catch (error) {
    noteFailure(metrics, program, call, error);
    throw error;
  } finally {
    metrics.observe(`gantryd_${program}_call_duration_seconds`, { call }, secondsSince(since));
  }
}

/** Since a moment by performance.now(). */
export function secondsSince(since: number): number {
  return (performance.now() - since) / 1000;
}

function noteFailure(metrics: Metrics, program: 'docker' | 'etcd', call: string, error: unknown): void {
  const code = isGantryError(error) ? error.code : 'internal';
  if (program === 'docker') metrics.add('gantryd_docker_call_errors_total', { call, code });
  else metrics.add('gantryd_etcd_call_errors_total', { call });
}
