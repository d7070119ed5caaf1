/**
 * One attempt of one run on this host: its steps one after the other, each a container whose output is the next one's
 * input. What is on disk and in the engine suffices to go on after the process was killed.
 */
import type { RunEnd, RunValue, StepStatus } from '../cluster/job-values.ts';
import type { JobEngine } from '../docker/job-engine.ts';
import type { SecretFiles, Secrets } from '../secrets/secrets.ts';
import type { LogEntry } from './run-log.ts';

/** A piece of what the run prints, for who watches from this process. */
export interface Printed {
  readonly step: number;
  readonly stream: LogEntry['stream'];
  readonly bytes: Buffer;
}

export interface ExecutionInput {
  readonly run: RunValue;
  readonly project: string;
  readonly host: string;
  readonly hostId: string;
  readonly stateDir: string;
  readonly engine: JobEngine;
  readonly secrets: Secrets;
  readonly secretFiles: SecretFiles;
  /** The steps changed: each has one status. Synchronous; may come often. */
  readonly onSteps: (steps: readonly StepStatus[]) => void;
  /** Awaited before more is read: who is slow slows the container. */
  readonly onPrinted?: (printed: Printed) => Promise<void> | void;
  /** Aborted with this reason: stops the container, and ends with it. */
  readonly cancelled: AbortSignal;
  /** Aborted: lets go; the container runs on, and the next execution of the same attempt goes on with it. */
  readonly left: AbortSignal;
  readonly now: () => number;
}

/**
 * Resolves with how the attempt ended, its containers removed, log and output on disk and complete; undefined: it was
 * left. Called anew for an attempt that was left, or whose process was killed, it adopts the container that runs: no
 * byte is missed, none is told twice. Rejects only for what is not the run's fault (an engine that is away: it waits;
 * a disk that is full: state-write).
 */
export type Execute = (input: ExecutionInput) => Promise<RunEnd | undefined>;
