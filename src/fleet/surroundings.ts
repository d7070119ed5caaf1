/** What all components of a host share. Types only. */
import type { ProxyPort } from '../agent/proxy-port.ts';
import type { SecretPort } from '../agent/secret-mounts.ts';
import type { ProjectKeys } from '../cluster/keys.ts';
import type { Session, Store } from '../cluster/store.ts';
import type { ReleaseValue } from '../cluster/values.ts';
import type { Engine } from '../docker/engine.ts';
import type { AgentEvent } from '../events.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { ProxyLimits } from '../proxy/tables/routes.ts';
import type { LeasedKeys } from './leased.ts';
import type { LinkRoutes } from './links.ts';
import type { Glances } from './looks/glances.ts';
import type { Wanted } from './rollout.ts';
import type { Presence } from './scale/presence.ts';

export interface Surroundings {
  readonly project: string;
  /** This host's name in the fleet. */
  readonly host: string;
  readonly hostId: string;
  /** Where other hosts reach it; undefined: they do not. */
  readonly address: string | undefined;
  readonly stateDir: string;
  readonly keys: ProjectKeys;
  readonly store: Store;
  readonly session: Session;
  readonly leased: LeasedKeys;
  readonly links: LinkRoutes;
  readonly presence: Presence;
  readonly engine: Engine;
  readonly proxy: ProxyPort;
  /** undefined: components that have secrets cannot be started here. */
  readonly secrets: SecretPort | undefined;
  readonly glances: Glances;
  readonly metrics: Metrics | undefined;
  readonly emit: (event: AgentEvent) => void;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** What the proxy uses for the project as long as no release says so. */
  readonly limits: () => ProxyLimits;
  /** Open connections by container, as of some seconds ago. */
  readonly connections: () => ReadonlyMap<string, number>;
  readonly wanted: (component: string, releaseOf: (number: number) => ReleaseValue | undefined) => Wanted;
}
