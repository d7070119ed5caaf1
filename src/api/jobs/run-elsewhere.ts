/** What a run has on disk where it is executed, asked for there: at the API of the agent that has it in its hands. */
import type { Readable } from 'node:stream';
import type { ExecutorValue, RunValue } from '../../cluster/job-values.ts';
import { GantryError } from '../../errors.ts';
import { listExecutors } from '../../jobs/intents/intents.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import type { RunFiles } from './job-server.ts';

/** Of a run that the API of another process serves. Throws output-gone, retryable while its host may come back. */
export async function filesOf(fleet: JobFleet, run: RunValue): Promise<RunFiles> {
  const executors = run.host === undefined ? [] : await listExecutors(fleet);
  const executor = executors.find(({ host, hostId }) => host === run.host && hostId === run.hostId);
  if (executor === undefined || executor.port === 0) throw hostAway(run);
  return remoteFiles(executor);
}

/** output-gone: only a run that ended well has an output. */
export function refuseWithoutOutput({ id, state, end }: RunValue): void {
  if (state === 'complete') return;
  const why = end === undefined ? `it is ${state}` : `it ended as ${state}`;
  throw new GantryError('output-gone', `${id} has no output: ${why}`, {
    hint: `A run has one once all its steps ended with 0. What it printed: job log ${id}`,
    retryable: end === undefined,
  });
}

/** The API of the agent that has them. */
function remoteFiles(peer: ExecutorValue): RunFiles {
  const client = () => import('./job-client.ts');
  const never = new AbortController().signal;
  return {
    async *log(run, query, signal) {
      yield* (await client()).readLog(peer, run, query, signal);
    },
    output: async (run) => (await client()).readOutput(peer, run, never),
    input: async (run: string, bytes: Readable, signal: AbortSignal) =>
      (await client()).sendInput(peer, run, bytes, signal),
  };
}

function hostAway({ id, host }: RunValue): GantryError {
  if (host === undefined) {
    return new GantryError('output-gone', `${id} has no log or output yet: no host has begun it`, {
      hint: `job show ${id} tells what it waits for.`,
      retryable: true,
    });
  }
  return new GantryError(
    'output-gone',
    `The log and output of ${id} are on ${host}, which runs no jobs now`,
    {
      hint: 'They can be read again when its agent is back.',
      retryable: true,
    },
  );
}
