/**
 * What the keys hold: JSON, one shape each, with `format` so that a newer gantryd can tell. Reading is strict about
 * what is decided by (numbers, states) and answers undefined for what no gantryd of this format wrote: a value
 * somebody damaged by hand is as good as none, and none never means stop. Pure.
 */
import type { Component } from '../config/project.ts';
import type { ProxyLimits } from '../proxy/tables/routes.ts';
import { SCALE, type ScaleValue } from './scale-values.ts';
import { count, each, fields, object, oneOf, optional, reader, text } from './value-reader.ts';

export {
  type Instances,
  readScale,
  readShares,
  type ScaleValue,
  type SharesValue,
} from './scale-values.ts';
export { FORMAT } from './value-reader.ts';

export type DesiredStatus = 'ready' | 'stopped' | 'killed';

/** What is wanted of a component on every host. Changed only by transactions that compare its revision. */
export interface DesiredValue {
  readonly format: 1;
  readonly status: DesiredStatus;
  /** 0: never deployed. Kept through stop and kill. */
  readonly release: number;
  /**
   * Grows with every change of what is wanted. An agent follows only a greater one than it has followed: an etcd that
   * was restored to an older state takes nobody back.
   */
  readonly generation: number;
  /** Who asked, as `user@machine`, or which rollout decided. */
  readonly by: string;
  /** ISO time. */
  readonly at: string;
  /** Of the command that wrote it: one whose answer was lost knows its own write again. */
  readonly id?: string;
}

export type Role = 'read' | 'deploy' | 'admin';

/** Who may use the API. */
export interface TokenValue {
  readonly format: 1;
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** []: all. */
  readonly projects: readonly string[];
  /** SHA-256 of its secret part, in hex. The secret is 256 random bits, so no slow hash is called for. */
  readonly hash: string;
  readonly by: string;
  /** ISO time. */
  readonly at: string;
}

/** Immutable. */
export interface ReleaseValue {
  readonly format: 1;
  readonly number: number;
  readonly image: {
    /** `repo:tag`, as the config named it. */
    readonly name: string;
    /** Id on the machine that made the release. */
    readonly id: string;
    /** `repo@sha256:…` known then; []: never pushed nor pulled. */
    readonly digests: readonly string[];
  };
  readonly spec: Component;
  /** The links it requires, with what their exporters said when it was made. */
  readonly requires: readonly RequiredLink[];
  readonly limits: ProxyLimits;
  readonly by: string;
  /** ISO time. */
  readonly at: string;
  readonly note?: string;
  /** Of the command that made it. */
  readonly id?: string;
}

export interface RequiredLink {
  readonly name: string;
  readonly alias: string;
  /** Component that defines it. */
  readonly exporter: string;
  readonly kind: 'http' | 'tcp';
  /** Port of the exporter's container; part of the variables' names. */
  readonly containerPort: number;
}

/**
 * `preparing`: every live host fetches the image and checks itself; nothing has switched. `running`: hosts switch,
 * turn by turn. `paused`: no new turn begins. The others are ends.
 */
export type RolloutState = 'preparing' | 'running' | 'paused' | 'done' | 'failed' | 'superseded';

/** Why a host could not serve a release: told once for the fleet. */
export interface Failure {
  readonly host: string;
  readonly release: number;
  /** As a sentence. */
  readonly why: string;
  /** The last answer of the check that failed. */
  readonly check?: string;
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** Last lines the container printed. */
  readonly logs: readonly string[];
  /** ISO time. */
  readonly at: string;
}

/** How a release goes through the fleet. There is one per component: the newest. */
export interface RolloutValue {
  readonly format: 1;
  /** Of the desired value it serves. */
  readonly generation: number;
  readonly release: number;
  /** The release to return to on failure; 0: none, a failure leaves the component stopped. */
  readonly from: number;
  /** A rollback goes to a release that has served before: without preparing, without turns. */
  readonly kind: 'update' | 'rollback';
  readonly state: RolloutState;
  /** What a resume goes on with: the state before it was paused. Absent: `preparing`. */
  readonly was?: 'preparing' | 'running';
  /** Grows with each resume: a host that failed tries again. */
  readonly attempt: number;
  /** Rollouts that must be done before this one begins to switch. */
  readonly after: readonly { readonly component: string; readonly generation: number }[];
  readonly by: string;
  /** ISO times. */
  readonly at: string;
  readonly endedAt?: string;
  /** Why it is as it is, when somebody or something decided so. */
  readonly reason?: string;
  readonly failure?: Failure;
  /** The scale that its update put an end to: asked for again when it is taken back. */
  readonly ended?: ScaleValue;
  /** It is done, but no host was to have a container of it: it has served nowhere yet. */
  readonly untried?: true;
}

/** A host that is prepared for a generation and wants, or has, its turn. */
export interface TurnValue {
  readonly format: 1;
  readonly host: string;
  readonly generation: number;
  readonly attempt: number;
  /** The session's: a turn counts for its host only while that lease is held. */
  readonly lease: string;
  /** ISO time. */
  readonly at: string;
}

/** How a release fared: `completed` on every host, or `failed` somewhere. */
export interface OutcomeValue {
  readonly format: 1;
  readonly result: 'completed' | 'failed';
  readonly at: string;
  readonly reason?: string;
}

/** `idle`: nothing wanted, nothing there. `preparing`, `waiting`: for a release it does not run yet. */
export type HostPhase =
  | 'idle'
  | 'preparing'
  | 'waiting'
  | 'starting'
  | 'watching'
  | 'serving'
  | 'degraded'
  | 'draining'
  | 'stopped'
  | 'failed';

/** What a host sees of one component. */
export interface StatusValue {
  readonly format: 1;
  readonly host: string;
  /** Of the desired value it has followed to the end (settled), or 0. */
  readonly settled: number;
  /** Of the desired value it is working on or has reached. */
  readonly generation: number;
  /** The highest release number and generation it knows: an etcd that was restored must not give them out again. */
  readonly known: { readonly release: number; readonly generation: number };
  /** Release that serves here; 0: none. */
  readonly serving: number;
  /** How many containers are to be here, where that is not the releases' business alone. */
  readonly size?: HostSize;
  /** The release it follows was tried out and did well, here or on a host before it. */
  readonly tried?: true;
  readonly phase: HostPhase;
  /** What it waits for or what went wrong, as a sentence; '': nothing. */
  readonly why: string;
  /** Epoch milliseconds of the next try; absent: no retry is planned. */
  readonly retryAt?: number;
  readonly containers: readonly StatusContainer[];
  /** Which ports the kernel leads, and why not others that are to be led, as sentences; absent: none is to be. */
  readonly planes?: readonly string[];
  /** Last lines of a container that is not ready or has failed; [] when all is well. */
  readonly logs: readonly string[];
  /** How a container of it ended by itself last, also when all is well again; absent: none has, since the agent began. */
  readonly died?: Death;
  /** ISO time when `phase` began. */
  readonly since: string;
}

export interface HostSize {
  readonly wanted: number;
  /** The `number` of the scale that is followed, and of the shares; 0: none. */
  readonly scale: number;
  readonly shares: number;
}

export interface Death {
  readonly container: string;
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** The engine's words when it could not run. */
  readonly error?: string;
  /** Last lines it printed. */
  readonly logs: readonly string[];
  /** ISO time when it was found. */
  readonly at: string;
}

export interface StatusContainer {
  readonly id: string;
  readonly release: number;
  readonly state: 'starting' | 'ready' | 'serving' | 'warm' | 'draining' | 'failed';
  readonly connections: number;
  /** What its last check saw; '': none ran. */
  readonly check: string;
  /** ISO time. */
  readonly startedAt: string;
}

/** An agent that runs for a project on a host. */
export interface HostValue {
  readonly format: 1;
  readonly host: string;
  /** Host id of the state directory: tells two machines of one name apart. */
  readonly id: string;
  /** Of the machine since it was started: tells a copy of it apart. */
  readonly boot?: string;
  readonly project: string;
  /** Where other hosts reach it. */
  readonly address: string;
  readonly version: string;
  readonly pid: number;
  readonly components: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** ISO time. */
  readonly since: string;
}

/** Where the agent of a host answers other agents and commands: logs of its containers, and what is done in them. */
export interface PeerValue {
  readonly format: 1;
  readonly host: string;
  readonly address: string;
  readonly port: number;
  /** Whoever shows it there is answered. */
  readonly token: string;
}

/** Where a host offers a link to the others. */
export interface LinkValue {
  readonly format: 1;
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

/** The project file as `setconfig` stored it: after validation, paths made absolute, as the schema has it. */
export interface ConfigValue {
  readonly format: 1;
  readonly project: string;
  /** In the form of the project file. */
  readonly file: Readonly<Record<string, unknown>>;
  readonly by: string;
  readonly at: string;
}

export const readDesired = reader<DesiredValue>({
  status: oneOf('ready', 'stopped', 'killed'),
  release: count,
  generation: count,
  by: text,
  at: text,
});

export const readRelease = reader<ReleaseValue>({
  number: count,
  image: fields({ name: text, id: text, digests: each(text) }),
  spec: object,
  requires: each(fields({ name: text, alias: text, exporter: text, containerPort: count })),
  limits: object,
  by: text,
  at: text,
});

export const readRollout = reader<RolloutValue>({
  generation: count,
  release: count,
  from: count,
  kind: oneOf('update', 'rollback'),
  state: oneOf('preparing', 'running', 'paused', 'done', 'failed', 'superseded'),
  attempt: count,
  after: each(fields({ component: text, generation: count })),
  by: text,
  at: text,
  ended: optional(fields(SCALE)),
  untried: optional((v) => v === true),
});

export const readToken = reader<TokenValue>({
  id: text,
  name: text,
  role: oneOf('read', 'deploy', 'admin'),
  projects: each(text),
  hash: text,
  by: text,
  at: text,
});

export const readTurn = reader<TurnValue>({
  host: text,
  generation: count,
  attempt: count,
  lease: text,
  at: text,
});

export const readOutcome = reader<OutcomeValue>({ result: oneOf('completed', 'failed'), at: text });

export const readStatus = reader<StatusValue>({
  host: text,
  settled: count,
  generation: count,
  known: fields({ release: count, generation: count }),
  serving: count,
  tried: optional((v) => v === true),
  size: optional(fields({ wanted: count, scale: count, shares: count })),
  phase: text,
  why: text,
  containers: each(fields({ id: text, release: count, state: text, connections: count })),
  planes: optional(each(text)),
  logs: each(text),
  died: optional(fields({ container: text, logs: each(text), at: text })),
  since: text,
});

export const readHost = reader<HostValue>({
  host: text,
  id: text,
  project: text,
  address: text,
  version: text,
  components: each(text),
  labels: object,
  since: text,
});

export const readPeer = reader<PeerValue>({ host: text, address: text, port: count, token: text });

export const readLink = reader<LinkValue>({ host: text, address: text, port: count });

export const readConfig = reader<ConfigValue>({ project: text, file: object, by: text, at: text });
