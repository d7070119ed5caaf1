/**
 * What gantryd asks of a container engine. dockerode.ts implements it for Docker; the tests'
 * fake implements it too, and one contract suite holds both to the promises written here.
 *
 * Every call has a deadline of its own and ends with a GantryError (engine-unreachable,
 * engine-timeout, engine-failed, or the code named at the call); no Docker error leaves the folder.
 */
import type { ExecAsked, ExecSession } from './exec-session.ts';
import type { ContainerSpec } from './spec.ts';

export interface EngineInfo {
  readonly version: string;
  /** The API version gantryd speaks with it, clamped to what both know. */
  readonly apiVersion: string;
  /** Where it was found, as `unix:///var/run/docker.sock`. */
  readonly address: string;
}

export interface Image {
  readonly id: string;
  /** `repo@sha256:…` as known to a registry, if any. */
  readonly digests: readonly string[];
  readonly tags: readonly string[];
  /** Whom its containers run as unless told otherwise, as `app` or `1000:1000`; absent: root. */
  readonly user?: string;
}

export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'dead' | 'removing';

/** What the check that its image brings (`HEALTHCHECK`) says; `none`: it brings none, or does not run. */
export type ContainerHealth = 'none' | 'starting' | 'healthy' | 'unhealthy';

/** A container of ours, found by its labels alone. */
export interface Container {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly component: string;
  readonly release: number;
  readonly specHash: string;
  readonly host: string;
  readonly imageId: string;
  /** As given at creation: `repo:tag` or an id. */
  readonly image: string;
  readonly state: ContainerState;
  /** Docker's words, as `Up 17 seconds`. */
  readonly status: string;
  readonly health: ContainerHealth;
  /** Epoch milliseconds (whole seconds). */
  readonly createdAt: number;
  /** Where this host reaches it: its address on its network, 127.0.0.1 for the host network, undefined until it has one. */
  readonly address: string | undefined;
}

export interface ExitReport {
  readonly exitCode: number | undefined;
  readonly oomKilled: boolean;
  /** The engine's own words when it could not run, else ''. */
  readonly error: string;
  /** Epoch milliseconds. */
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
}

export interface ContainerFilter {
  readonly project?: string;
  readonly component?: string;
  readonly host?: string;
}

export interface PullProgress {
  /** Layers known so far, and those done. */
  readonly layers: number;
  readonly done: number;
  /** Bytes fetched and to fetch, as far as the engine told. */
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface PullOptions {
  /** Docker config file to take credentials from; undefined: the user's own, if there is one. */
  readonly authFile?: string;
  readonly onProgress?: (progress: PullProgress) => void;
  readonly signal?: AbortSignal;
}

export interface ExecResult {
  readonly exitCode: number;
  /** stdout and stderr interleaved, at most 64 KiB. */
  readonly output: string;
}

/** A container of ours changed. A hint, never a source of truth. `reconnected`: the stream of events stands (again); look, something may have been missed. */
export interface EngineEvent {
  readonly kind: 'start' | 'die' | 'oom' | 'destroy' | 'health' | 'reconnected';
  readonly container?: string;
}

/** The disk that images and containers are on. */
export interface Room {
  /** Folder of the engine's data. */
  readonly path: string;
  readonly freeBytes: number;
}

export interface Engine {
  /** Negotiates the API version on first use. engine-unreachable says where it looked. */
  info(): Promise<EngineInfo>;
  /** undefined: the engine keeps its data where this process cannot look, as on another machine. */
  room(): Promise<Room | undefined>;
  /** undefined: this host does not have it. `ref`: `repo:tag`, `repo@digest` or an id. */
  image(ref: string): Promise<Image | undefined>;
  /** Pulls and answers what the host then has. image-not-found, pull-refused. No deadline but silence (60 s without progress). interrupted: by the signal. */
  pull(ref: string, options?: PullOptions): Promise<Image>;
  /** All containers of ours that match, running or not. Never one without our labels. */
  containers(filter: ContainerFilter): Promise<readonly Container[]>;
  /** Whatever container has this name or id, ours or not; undefined: none. For volumesFrom and name clashes. */
  exists(nameOrId: string): Promise<boolean>;
  /** Answers the id. name-taken, image-not-found. Creates only; nothing runs yet. */
  create(spec: ContainerSpec): Promise<string>;
  /** Already running is success. container-gone. */
  start(id: string): Promise<void>;
  /** SIGTERM, after `timeoutMs` (rounded up to seconds) SIGKILL; answers when it has exited. Already stopped or gone is success. Refuses one without our labels. */
  stop(id: string, timeoutMs: number): Promise<void>;
  /** SIGKILL. Already stopped or gone is success. Refuses one without our labels. */
  kill(id: string): Promise<void>;
  /** Removes a container of ours and its anonymous volumes; running: killed first. Gone is success. Refuses one without our labels. */
  remove(id: string): Promise<void>;
  /** As remove, but one that runs is left alone: false. Somebody may have started it since it was looked at. */
  removeStopped(id: string): Promise<boolean>;
  /** undefined: gone. */
  exit(id: string): Promise<ExitReport | undefined>;
  /** Number of its first process, as the host of the engine numbers it. undefined: it does not run. */
  pid(id: string): Promise<number | undefined>;
  /** The last `lines` lines, stdout and stderr interleaved, without line ends. [] when gone or the log driver cannot read. */
  logs(id: string, lines: number): Promise<readonly string[]>;
  /** Runs a command inside. engine-timeout after `timeoutMs`, and the command may go on running: the engine cannot end it. container-gone when the container does not run. */
  exec(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult>;
  /** Begins a command in a running container, with its streams. container-gone when the container does not run. Refuses one without our labels. */
  openExec(id: string, asked: ExecAsked): Promise<ExecSession>;
  /** Address of this host on the network (undefined: the default bridge); undefined: the network has none, as `host`. */
  gateway(network: string | undefined): Promise<string | undefined>;
  /** Calls `listener` for events of our containers until aborted; reconnects by itself and says `reconnected` whenever the stream stands, the first time too. */
  watch(listener: (event: EngineEvent) => void, signal: AbortSignal): void;
  /** Idempotent. */
  close(): void;
}
