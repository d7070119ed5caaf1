/** Counts what an agent tells: everything that an event says needs no other place to be measured at. */
import type { AgentEvent } from '../events.ts';
import type { Metrics } from './metrics.ts';

/** Containers that were created and not yet started; beyond it their start counts as one of an old container. */
const MAX_CREATED = 10_000;

type Recorders = {
  readonly [K in AgentEvent['kind']]?: (metrics: Metrics, event: Extract<AgentEvent, { kind: K }>) => void;
};

const RECORDERS: Recorders = {
  'rollout-decided': (metrics, { component, decision: result }) =>
    metrics.add('gantryd_rollouts_total', { component, result }),
  'release-proven': (metrics, { component }) =>
    metrics.add('gantryd_releases_total', { component, result: 'proven' }),
  'release-failed': (metrics, { component }) =>
    metrics.add('gantryd_releases_total', { component, result: 'failed' }),
  'container-failed': (metrics, { component }) =>
    metrics.add('gantryd_heals_total', { component, reason: 'failed' }),
  'health-changed': (metrics, { component, now }) => {
    if (now === 'unhealthy') metrics.add('gantryd_heals_total', { component, reason: 'unhealthy' });
  },
  'mass-failure': (metrics, { component }) => metrics.add('gantryd_mass_failures_total', { component }),
  'drain-cut': (metrics, { component, connections }) =>
    metrics.add('gantryd_drain_connections_cut_total', { component }, connections),
  trouble: (metrics, { code }) => metrics.add('gantryd_troubles_total', { code }),
  cluster: (metrics, { connected }) => metrics.set('gantryd_etcd_connected', {}, connected ? 1 : 0),
  'run-changed': (metrics, { state }) => metrics.add('gantryd_job_runs_total', { state }),
  'schedule-ticked': (metrics, { run }) =>
    metrics.add('gantryd_schedule_ticks_total', { result: run === undefined ? 'passed' : 'run' }),
};

/** Call it with each event, once. That etcd answers is told only after it did not. */
export function eventRecorder(metrics: Metrics): (event: AgentEvent) => void {
  const created = new Set<string>();
  metrics.set('gantryd_etcd_connected', {}, 1);
  return (event) => {
    const { component } = event;
    if (event.kind === 'container-created' && created.size < MAX_CREATED) created.add(event.container);
    if (event.kind === 'container-started') {
      metrics.add('gantryd_container_starts_total', { component });
      if (!created.delete(event.container)) metrics.add('gantryd_restarts_total', { component });
    }
    const record = RECORDERS[event.kind] as ((m: Metrics, e: AgentEvent) => void) | undefined;
    record?.(metrics, event);
  };
}
