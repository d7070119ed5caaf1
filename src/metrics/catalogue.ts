/**
 * Every metric of gantryd as data: name, type, labels, meaning. docs/metrics.md has a row for each, held by a test.
 * What a label may be is bounded: components and releases by series.ts and the proxy, all else is a short list of words.
 */

export interface MetricKind {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
  /** Upper ends of a histogram's buckets, in the unit of its name; the proxy has its own. */
  readonly buckets?: readonly number[];
}

const CALL_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Of an agent: recorded where they happen, through `Metrics`. */
export const AGENT_METRICS = {
  gantryd_build_info: gauge(['version'], 'Always 1; the version of the program'),
  gantryd_rollouts_total: counter(
    ['component', 'result'],
    'Rollouts that this host decided for the fleet: completed, returned (by a rollback), taken-back, paused; sum it over hosts',
  ),
  gantryd_releases_total: counter(
    ['component', 'result'],
    'Releases that ended on this host: proven, or failed and not served',
  ),
  gantryd_container_starts_total: counter(['component'], 'Containers that were started'),
  gantryd_restarts_total: counter(['component'], 'Of the starts, those of a container that existed before'),
  gantryd_heals_total: counter(
    ['component', 'reason'],
    'Containers that ended by themselves (failed) or whose health checks began to fail (unhealthy) and that are healed, unless their healthPolicy says no',
  ),
  gantryd_mass_failures_total: counter(
    ['component'],
    'Times that more than half of the containers did not serve',
  ),
  gantryd_drains: gauge(['component'], 'Containers that leave now'),
  gantryd_drain_oldest_seconds: gauge(
    ['component'],
    'How long the oldest drain takes so far; 0: there is none',
  ),
  gantryd_drain_connections_cut_total: counter(
    ['component'],
    'Connections that were open when their container was stopped',
  ),
  gantryd_check_duration_seconds: histogram(
    ['purpose', 'verdict'],
    'Probes by purpose (ready, health, termination) and verdict (pass, fail, inconclusive)',
    CALL_BUCKETS,
  ),
  gantryd_reconcile_duration_seconds: histogram(
    ['component'],
    'One round over a component: look, plan, execute; without the pause after it',
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  ),
  gantryd_reconcile_lag_seconds: histogram(
    ['component'],
    'How much later than it was due by the clock a round began: so long something else kept the process',
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  ),
  gantryd_reconcile_failures_total: counter(['component'], 'Rounds that ended with an error'),
  gantryd_troubles_total: counter(['code'], 'Errors that were told, by code as in errors.md'),
  gantryd_etcd_connected: gauge([], '1 as long as etcd answers, else 0; this host goes on either way'),
  gantryd_etcd_call_duration_seconds: histogram(
    ['call'],
    'Calls of one etcd member: range, txn, lease-grant, lease-renew, lease-revoke, watch (its creation)',
    CALL_BUCKETS,
  ),
  gantryd_etcd_call_errors_total: counter(
    ['call'],
    'Of them, those that failed; another member may have answered',
  ),
  gantryd_etcd_relists_total: counter(
    ['reason'],
    'Listings of everything that is followed, beyond the first: restart (the watch ended), unsure (events are missing)',
  ),
  gantryd_docker_call_duration_seconds: histogram(
    ['call'],
    'Calls of the Docker engine, until their answer is whole or their stream begins',
    CALL_BUCKETS,
  ),
  gantryd_docker_call_errors_total: counter(
    ['call', 'code'],
    'Of them, those that failed, by code as in errors.md',
  ),
  gantryd_job_runs_total: counter(
    ['state'],
    'Times that a run came to a state, told by the host that saw to it',
  ),
  gantryd_schedule_ticks_total: counter(
    ['result'],
    'Ticks of schedules: run (it made one), passed (it was passed by)',
  ),
  gantryd_api_requests_total: counter(
    ['route', 'method', 'status'],
    'Requests of the API by the template of their route (none: there is none) and the class of their answer, or left: the client went before it',
  ),
  gantryd_api_request_duration_seconds: histogram(
    ['route', 'method'],
    "From a request's head to the end of its answer; streams, which take as long as their readers, do not count",
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 60],
  ),
  gantryd_api_requests_in_flight: gauge([], 'Requests that are answered now, streams included'),
  gantryd_api_event_followers: gauge([], 'Of them, those that follow events'),
  gantryd_api_refused_total: counter(
    ['reason'],
    'What was refused before anything was done: auth (no token, or not for this), rate, body (too large, too slow, not as described), head (no HTTP, too large, too slow), connections (too many)',
  ),
} as const satisfies Readonly<Record<string, MetricKind>>;

/** Of a proxy: counted by it, and asked of it when somebody reads. */
export const PROXY_METRICS = {
  gantryd_proxy_up: gauge([], '1 if the proxy told its numbers, else 0, and then there are no others of it'),
  gantryd_proxy_info: gauge(['version'], 'Always 1; the version of the proxy that serves'),
  gantryd_proxy_start_time_seconds: gauge([], 'When the proxy that serves began, in seconds since 1970'),
  gantryd_proxy_requests_total: counter(
    ['project', 'component', 'release', 'status'],
    'Requests by the class of their answer (1xx: upgraded), or left: the client went before it',
  ),
  gantryd_proxy_request_duration_seconds: histogram(
    ['project', 'component', 'release'],
    "From a request's head to the head of its answer; bodies, which take as long as their readers, do not count",
  ),
  gantryd_proxy_tcp_connections_total: counter(
    ['project', 'component', 'release'],
    'tcp connections that were led to a container',
  ),
  gantryd_proxy_dial_failures_total: counter(
    ['project', 'component', 'release'],
    'Connections to a container that could not be made; the client may have got another one',
  ),
  gantryd_proxy_held_clients_total: counter(
    ['project', 'component'],
    'Clients that had to wait for a container',
  ),
  gantryd_proxy_refused_clients_total: counter(
    ['project', 'component'],
    'Clients that were sent away since no container was there or could be reached',
  ),
  gantryd_proxy_waiting_clients: gauge(['project'], 'Clients that wait for a container now'),
  gantryd_proxy_requests_in_flight: gauge(
    ['project', 'component', 'release', 'phase'],
    'Requests that containers have now; phase: serving, or draining once they left the table',
  ),
  gantryd_proxy_connections_open: gauge(
    ['project', 'component', 'release', 'phase', 'kind'],
    'Connections (upgraded, tcp, udp) that containers have now, by phase as above',
  ),
  gantryd_proxy_client_connections: gauge(
    ['project', 'component'],
    'Open connections of clients to the proxy that serves, idle ones included',
  ),
  gantryd_proxy_older_client_connections: gauge(
    [],
    'The same of the processes before it, for all projects together',
  ),
  gantryd_proxy_drains: gauge(
    ['project', 'component'],
    'Containers that left the table and still have clients',
  ),
  gantryd_proxy_drain_oldest_seconds: gauge(
    ['project', 'component'],
    'How long ago the oldest of them left; 0: there is none',
  ),
  gantryd_proxy_generations: gauge(
    [],
    'Proxy processes that carry something, the one that serves included, its workers not',
  ),
  gantryd_proxy_silent_generations: gauge([], 'Those that do not answer, of generations and workers'),
  gantryd_proxy_workers: gauge([], 'Proxy processes that accept clients, the one that serves included'),
  gantryd_proxy_listeners: gauge(['project', 'kind'], 'Open listening sockets, http, tcp and udp'),
  gantryd_proxy_resident_memory_bytes: gauge([], 'Memory of all its processes'),
  gantryd_proxy_cpu_seconds_total: counter(
    [],
    'Processor time of all its processes, also of those that have ended',
  ),
} as const satisfies Readonly<Record<string, MetricKind>>;

/** Of the process of the agent or the API: prom-client's own, as it names them, after `gantryd_`. */
export const PROCESS_METRICS = {
  gantryd_process_cpu_seconds_total: counter([], 'Processor time'),
  gantryd_process_start_time_seconds: gauge([], 'When it began, in seconds since 1970'),
  gantryd_process_resident_memory_bytes: gauge([], 'Memory that it has'),
  gantryd_process_open_fds: gauge([], 'Open files and sockets'),
  gantryd_nodejs_heap_size_used_bytes: gauge([], 'Memory of JavaScript values in use'),
  gantryd_nodejs_external_memory_bytes: gauge([], 'Memory of buffers and the like'),
  gantryd_nodejs_eventloop_lag_seconds: gauge([], 'How late the event loop is while it is asked'),
  gantryd_nodejs_eventloop_lag_p99_seconds: gauge(
    [],
    'What 99 % of the delays since it was asked last were below; about 0.25 when nothing is late',
  ),
} as const satisfies Readonly<Record<string, MetricKind>>;

export type AgentMetric = keyof typeof AGENT_METRICS;
export type ProxyMetric = keyof typeof PROXY_METRICS;

function counter<const L extends readonly string[]>(labels: L, help: string) {
  return { kind: 'counter', labels, help } as const;
}

function gauge<const L extends readonly string[]>(labels: L, help: string) {
  return { kind: 'gauge', labels, help } as const;
}

function histogram<const L extends readonly string[]>(
  labels: L,
  help: string,
  buckets: readonly number[] = [],
) {
  return { kind: 'histogram', labels, help, buckets } as const;
}
