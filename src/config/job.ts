/**
 * What the rest of gantryd sees of a job or schedule: validated, every default filled in, frozen, fit for JSON.
 * A job is a list of steps, one container each; a schedule makes runs of a job. Types only.
 */

export interface Variable {
  readonly name: string;
  readonly value: string;
}

/** Where a step's output is taken from: what is printed, or a file in the container once it has ended. */
export type OutputChannel =
  | { readonly kind: 'stdout' | 'stderr' }
  | { readonly kind: 'file'; readonly path: string };

/** Only what stands on lines between a line that is exactly `begin` and one that is exactly `end` is output. */
export interface Delimiters {
  readonly begin: string;
  readonly end: string;
}

export interface Mount {
  /** Absolute path on the host, or the name of a volume. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** A file `/run/secrets/NAME`. `sealed`: the value came with the job, for the hosts' key; absent: from the store. */
export interface SecretUse {
  readonly name: string;
  readonly sealed?: string;
}

/** `file`: a Docker config file on the host that runs it. `sealed`: the JSON of an auth, for the hosts' key. */
export type RegistryAuth = { readonly file: string } | { readonly sealed: string };

export interface Step {
  /** '': it has none. */
  readonly name: string;
  /** With a tag or a digest. */
  readonly image: string;
  /** undefined: the image's own. */
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly user?: string;
  /** Later ones win over earlier ones, and over the job's. */
  readonly environment: readonly Variable[];
  readonly output: OutputChannel;
  readonly delimiters?: Delimiters;
  /** Pull even when the host has the image. */
  readonly refresh: boolean;
  /** From the container's start; then it is stopped and the run fails with exit code 124. */
  readonly timeoutMs?: number;
  /** []: the default bridge. A single `host`, `none` or `container:…` too. */
  readonly networks: readonly string[];
  readonly mounts: readonly Mount[];
  readonly memoryBytes?: number;
  readonly cpus?: number;
  /** Relative weight, as Docker's CpuShares. */
  readonly cpuShares?: number;
  readonly secrets: readonly SecretUse[];
  readonly registryAuth?: RegistryAuth;
  /** Parts of Docker's create body that came with the step as they are; what gantryd decides wins over them. */
  readonly engine?: {
    readonly config: Readonly<Record<string, unknown>>;
    readonly hostConfig: Readonly<Record<string, unknown>>;
    readonly networkingConfig: Readonly<Record<string, unknown>>;
  };
}

/** Which hosts may run it: all of a job's must hold. `key`: `host`, or the name of a label. */
export interface Constraint {
  readonly on: 'host' | 'label';
  /** Of the label; '' for `host`. */
  readonly key: string;
  readonly equals: boolean;
  readonly value: string;
}

export interface Job {
  /** '': it has none. */
  readonly name: string;
  /** One at least. */
  readonly steps: readonly Step[];
  /** Of every step. */
  readonly environment: readonly Variable[];
  /** What the first step reads, as base64; absent: nothing, unless the run brings some. */
  readonly input?: string;
  readonly constraints: readonly Constraint[];
  /** How often it is tried again after its host was lost, or after it failed. */
  readonly retries: number;
  /** How long its record, log and output are kept after its end. */
  readonly keepMs: number;
  /** Nothing of it is kept once it has ended. */
  readonly remove: boolean;
}

export type Overlap = 'forbid' | 'queue' | 'replace' | 'allow';
export type Missed = 'skip' | 'runOnce';

export interface Schedule {
  readonly name: string;
  /** As it was written: 5 fields, 6 (the last is the year), 7 (seconds first) or a macro. */
  readonly cron: string;
  /** IANA name; undefined: the zone of the host that pushed it was asked for, and is filled in then. */
  readonly timeZone: string;
  /** What is done when a tick comes while a run of an earlier one is under way. */
  readonly overlap: Overlap;
  /** What is done about ticks that passed while no host could run them. */
  readonly missed: Missed;
  readonly suspended: boolean;
  readonly job: Job;
}

/** Runs that a schedule keeps. */
export const SCHEDULE_HISTORY = 20;
export const DEFAULT_KEEP_MS = 7 * 24 * 3_600_000;
