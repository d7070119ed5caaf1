/**
 * What the rest of gantryd sees of a project file: validated, every default filled in, frozen.
 * Durations are milliseconds and say so in their names. Types only.
 */
import type { Check } from '../checks/check.ts';
import type { Listener, ProxyLimits } from '../proxy/tables/routes.ts';

export interface Signal {
  readonly kind: 'http' | 'https' | 'exec';
  readonly id: string;
  readonly port?: number;
  readonly path?: string;
  readonly verify?: boolean;
  readonly command?: readonly string[];
  readonly timeoutMs: number;
}

export type HealthPolicy = 'replace' | 'unroute' | 'report';

/** On what terms a new release gets a share of the work before it gets all of it. */
export interface CanaryTerms {
  /** At least one of the two is given. */
  readonly percent?: number;
  readonly instances?: number;
  readonly durationMs: number;
  /** 0 to 1. */
  readonly maxErrorRate: number;
  /** undefined: latency is not compared. */
  readonly maxLatencyRatio?: number;
}

export interface Component {
  readonly name: string;
  /** `repo:tag`, or `repo@sha256:…`. */
  readonly image: string;
  readonly user?: string;
  readonly command?: readonly string[];
  readonly ports: readonly Listener[];
  readonly readyChecks: readonly Check[];
  readonly healthChecks: readonly Check[];
  readonly readyTimeoutMs: number;
  readonly terminationSignals: readonly Signal[];
  readonly terminationChecks: readonly Check[];
  /** undefined: no bound. */
  readonly drainTimeoutMs?: number;
  /** Quiet connections to a container that was switched from end after so long; 0: never. */
  readonly idleTimeoutMs: number;
  /** Over so long its clients are asked to leave; 0: they are not. */
  readonly closeSpreadMs: number;
  /** How long clients wait in the proxy while nothing serves; 0: they do not. */
  readonly holdTimeoutMs: number;
  /** A container that joins others has its full share of the work after so long; 0: at once. */
  readonly slowStartMs: number;
  readonly stopTimeoutMs: number;
  readonly healthPolicy: HealthPolicy;
  /** On each host. Of a component that has a total: all of them, which is what a host without a fleet runs. */
  readonly instances: number;
  /** On all hosts of a fleet together. */
  readonly total?: number;
  /** The label of hosts whose values a total is evened out over first, without `label.`. */
  readonly spread?: string;
  /** How long a host may not be heard of before its share of a total moves. */
  readonly hostLossTimeoutMs: number;
  readonly update: {
    readonly order: 'start-first' | 'stop-first';
    readonly canary?: CanaryTerms;
    /** From here on: of a fleet. One host by itself has nothing to ask of it. */
    readonly maxParallel: number;
    readonly onFailure: 'rollback' | 'pause';
    readonly monitorMs: number;
    readonly keepOldMs: number;
  };
  readonly bindings: readonly {
    readonly external: string;
    readonly volume: string;
    readonly readOnly: boolean;
  }[];
  readonly volumesFrom: readonly string[];
  readonly definesLinks: readonly {
    readonly name: string;
    readonly port: number;
    readonly kind: 'http' | 'tcp';
  }[];
  readonly requiresLinks: readonly { readonly name: string; readonly alias: string }[];
  readonly environment: readonly { readonly name: string; readonly value: string }[];
  /** Names of files under /run/secrets; no two are the same. */
  readonly secrets: readonly string[];
  readonly privileged: boolean;
  readonly memoryBytes?: number;
  readonly cpus?: number;
  /** undefined: the engine's default bridge. */
  readonly network?: string;
  readonly hostname?: string;
  readonly extraHosts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly logging?: { readonly driver: string; readonly options: Readonly<Record<string, string>> };
  readonly readOnly: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  /** Docker config file with credentials; undefined: the user's own. */
  readonly registryAuth?: string;
}

export type Occasion = 'failed-deploy' | 'rollback' | 'mass-failure' | 'long-drain' | 'failed-run';

/** Who is told when something goes wrong. */
export interface Notify {
  readonly url: string;
  readonly on: readonly Occasion[];
  /** Of the project; undefined: what is told is not signed. */
  readonly secret?: string;
  readonly drainLongerThanMs: number;
}

export interface Project {
  readonly name: string;
  readonly components: readonly Component[];
  readonly limits: ProxyLimits;
  readonly notify: readonly Notify[];
}

/** One thing wrong with a config. */
export interface Problem {
  /** JSON pointer, as `/components/0/ports/1/external`; empty for the whole document. */
  readonly pointer: string;
  /** What is wrong and what would be right, as a sentence without the place. */
  readonly message: string;
  /** The offending value as JSON, shortened to 60 characters; absent when a field is missing. */
  readonly value?: string;
  /** 1-based; absent when the value came from `--set`. */
  readonly line?: number;
  readonly column?: number;
  /** The `--set` argument the value came from. */
  readonly override?: string;
}
