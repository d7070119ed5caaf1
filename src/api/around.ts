/** What the routes of the API stand on: the store, and in an agent what only a host has. */
import type { Keys } from '../cluster/keys.ts';
import type { Store } from '../cluster/store.ts';
import type { JobEngine } from '../docker/job-engine.ts';
import type { OpenMetrics } from '../metrics/open.ts';

export interface ApiAround {
  readonly store: Store;
  readonly keys: Keys;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Of this process; absent: there is no /metrics. */
  readonly metrics?: OpenMetrics;
  /** This and the rest are absent in `gantryd api`, which stands on etcd alone. */
  readonly engine?: JobEngine;
  readonly stateDir?: string;
  readonly host?: string;
  /** Of the agent. The routes are for all projects all the same. */
  readonly project?: string;
}
