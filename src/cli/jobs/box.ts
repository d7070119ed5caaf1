/** What runs jobs on one box without etcd: the same machinery as a fleet's agent, on the box's own store. */
import { availableParallelism, hostname } from 'node:os';
import type { JobEngine } from '../../docker/job-engine.ts';
import type { AgentEvent } from '../../events.ts';
import type { Execute, ExecutionInput } from '../../jobs/execution/execution.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import type { JobsHostInput, RunJobsHost, TakeRun } from '../../jobs/jobs-host.ts';
import type { Box } from './place.ts';

const LEAST_SLOTS = 4;

/** How many runs at once where nobody says. */
export function defaultSlots(): number {
  return Math.max(LEAST_SLOTS, 2 * availableParallelism());
}

export interface BoxHostOptions {
  readonly only?: string;
  readonly untilIdleMs?: () => number;
  readonly emit: (event: AgentEvent) => void;
  readonly onPrinted?: ExecutionInput['onPrinted'];
  readonly onReady?: (take: TakeRun) => void;
  /** Called before an attempt is executed. */
  readonly onExecute?: (attempt: number) => void;
}

/** What executing runs takes. */
export interface Executing {
  readonly engine: JobEngine;
  readonly runJobsHost: RunJobsHost;
  readonly execute: Execute;
}

/** Loaded and dialled while a command still has other things to do. */
export async function loadExecuting(box: Box): Promise<Executing> {
  const [engine, { runJobsHost }, { execute }] = await Promise.all([
    openEngine(box),
    import('../../jobs/jobs-host.ts'),
    import('../../jobs/execution/execution.ts'),
  ]);
  return { engine, runJobsHost, execute };
}

/** Until aborted, or as the options say. */
export async function runBoxHost(
  box: Box,
  fleet: JobFleet,
  { onExecute, ...options }: BoxHostOptions,
  signal: AbortSignal,
  loading: Promise<Executing> = loadExecuting(box),
): Promise<void> {
  const { engine, runJobsHost, execute } = await loading;
  try {
    const input: JobsHostInput = {
      ...{ store: fleet.store, keys: fleet.keys, project: fleet.project, now: fleet.now },
      ...{ host: hostname(), hostId: box.hostId, labels: {}, stateDir: box.stateDir, engine },
      ...(await secretsFor(box, fleet)),
      ...{ slots: defaultSlots(), ...options },
      execute: (attempt) => {
        onExecute?.(attempt.run.attempt);
        return execute(attempt);
      },
    };
    await runJobsHost(input, signal);
  } finally {
    engine.close();
  }
}

async function openEngine({ docker }: Box): Promise<JobEngine> {
  const { openJobEngine } = await import('../../docker/dockerode.ts');
  const engine = openJobEngine(docker === undefined ? {} : { address: docker });
  // Whoever asks it next is told when it does not answer.
  void engine.info().catch(() => undefined);
  return engine;
}

async function secretsFor({ stateDir }: Box, { store, project }: JobFleet) {
  const [{ boxSecrets }, { mountedSecrets, SPARED_MS }] = await Promise.all([
    import('../../secrets/box.ts'),
    import('../../secrets/mounted.ts'),
  ]);
  return {
    secrets: boxSecrets(stateDir, store),
    secretFiles: mountedSecrets({ stateDir, scope: `jobs/${project}`, sparedMs: SPARED_MS }),
  };
}
