/**
 * What a host does about jobs, for as long as it runs: claims runs that it may and should run, executes them, takes
 * note of those whose host is lost, fires schedules, removes what has expired. The same in a fleet and on one box,
 * where the store is a file. Pure decisions are in placement.ts, runs.ts and ticks.ts.
 */
import type { Keys } from '../cluster/keys.ts';
import type { Store } from '../cluster/store.ts';
import type { JobEngine } from '../docker/job-engine.ts';
import type { AgentEvent } from '../events.ts';
import type { SecretFiles, Secrets } from '../secrets/secrets.ts';
import type { Execute, ExecutionInput } from './execution.ts';

export interface JobsHostInput {
  readonly store: Store;
  readonly keys: Keys;
  readonly project: string;
  readonly host: string;
  readonly hostId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly stateDir: string;
  readonly engine: JobEngine;
  readonly secrets: Secrets;
  readonly secretFiles: SecretFiles;
  /** Runs at once. */
  readonly slots: number;
  /** Of the API that serves logs and outputs here; absent: there is none. */
  readonly api?: { readonly address: string; readonly port: number; readonly token: string };
  /**
   * No other process runs jobs of the project under this host id, as in a fleet: a claim of it that this process does
   * not know is of one that has died, and is taken over at once. Else it is left until the store has ended it.
   */
  readonly alone?: boolean;
  /** This run alone, and no schedules: of a command that waits for it. */
  readonly only?: string;
  /** Ends by itself once nothing is to be done: no run, no schedule. Of a runner that was started on demand. */
  readonly untilIdleMs?: number;
  readonly emit: (event: AgentEvent) => void;
  /** Of the runs this host executes. */
  readonly onPrinted?: ExecutionInput['onPrinted'];
  readonly execute: Execute;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
}

/** Until aborted; then lets go of what runs, which a next one finds again, and ends. With `only`: until that run has ended. */
export type RunJobsHost = (input: JobsHostInput, signal: AbortSignal) => Promise<void>;
