/**
 * What gantryd asks of an engine for containers that end, besides what engine.ts has. The same promises: a deadline
 * on every call, GantryErrors only. Streams fail with a GantryError too, and honour back-pressure in both directions:
 * nothing is collected. docker-engine.ts keeps it.
 */
import type { Readable, Writable } from 'node:stream';
import type { LineQuery, LogLine } from './container-log.ts';
import type { Piece } from './demux.ts';
import type { Engine, ExitReport, PullOptions } from './engine.ts';
import type { ContainerSpec } from './spec.ts';

/** Identity of a job's container, on top of LABELS.project and LABELS.host. Written once. */
export const JOB_LABELS = {
  run: 'io.gantryd.run',
  attempt: 'io.gantryd.attempt',
  /** 0-based. */
  step: 'io.gantryd.step',
} as const;

export interface JobContainer {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly host: string;
  readonly run: string;
  readonly attempt: number;
  readonly step: number;
  readonly running: boolean;
  /** `created`: it never ran. */
  readonly state: string;
}

export interface JobFilter {
  readonly project?: string;
  readonly host?: string;
  readonly run?: string;
}

/** Both ends of a container's standard streams, opened before it is started. */
export interface Attachment {
  /**
   * Its standard input; `end()` closes it. A container that does not read makes writes wait; one that ended fails them
   * with EPIPE, at the latest once all its output was read. Never throws where nobody listens for errors.
   */
  readonly input: Writable;
  /** What it prints, in order of arrival; ends when the container has ended and all was read. */
  readonly output: AsyncIterable<Piece>;
  /** Lets go of it; the container runs on. Idempotent. */
  close(): void;
}

export interface JobEngine extends Engine {
  /** Containers of jobs, running or not. `Engine.containers` never lists them, and stop, kill, remove and exit take them. */
  jobContainers(filter: JobFilter): Promise<readonly JobContainer[]>;
  /**
   * network-unknown, before anything was changed for that one. Already joined is success. `endpoint`: how, as Docker's
   * EndpointSettings.
   */
  joinNetwork(id: string, network: string, endpoint?: Readonly<Record<string, unknown>>): Promise<void>;
  /** For a container that was created with OpenStdin and StdinOnce, before its start. container-gone. */
  attach(id: string): Promise<Attachment>;
  /**
   * Everything it printed so far, and what it prints until it ends: from the engine's log. With the log driver of
   * JOB_LOG byte for byte what an attachment would have given.
   */
  printed(id: string, signal: AbortSignal): Promise<AsyncIterable<Piece>>;
  /**
   * Its log line by line, each with its time; ends early when aborted. Of any container. container-gone; engine-failed
   * where its log cannot be read; retryable when the engine went away.
   */
  lines(id: string, query: LineQuery, signal: AbortSignal): AsyncIterable<LogLine>;
  /** Resolves with the report once the container has ended; undefined: it is gone. Survives an engine that restarts. Rejects when aborted. */
  ended(id: string, signal: AbortSignal): Promise<ExitReport | undefined>;
  /**
   * The bytes of one regular file in the container, running or not. file-missing: there is none, or it is no regular
   * file. Docker answers nothing else about the container until they are read or the stream is destroyed.
   */
  readFile(id: string, path: string): Promise<Readable>;
  networkExists(name: string): Promise<boolean>;
  /** Removes an image that no container needs; in use, or gone, is success: `false`. */
  removeImage(id: string): Promise<boolean>;
  /** As Engine.pull, with an auth (the JSON of Docker's X-Registry-Auth) in place of a config file. */
  pullWith(ref: string, auth: Readonly<Record<string, string>>, options?: PullOptions): Promise<string>;
}

/**
 * The log driver of a job's containers: it keeps bytes as they are (json-file replaces what is no UTF-8), does not end
 * a last line that has no end, and is twice as fast. Not rotated, so that what a gantryd that was killed did not read
 * can be read; it goes with the container. https://docs.docker.com/engine/logging/drivers/local/
 */
export const JOB_LOG = {
  Type: 'local',
  Config: { 'max-size': '1000g', 'max-file': '1', compress: 'false' },
} as const;

export interface JobContainerSpec extends ContainerSpec {
  /** Joined after its creation, besides the one in the body. */
  readonly networks: readonly string[];
  /** By network: what joinNetwork is told of it, where the step says something. */
  readonly endpoints?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}
