/**
 * Executes a run in the process of the command that waits for it: nothing is started, and what its containers print is
 * told as it is read. Where the box has a runner already, or one is faster, that one does it.
 */
import type { RunValue } from '../../cluster/job-values.ts';
import { findRun } from '../../jobs/intents/intents.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import { type Executing, runBoxHost } from './box.ts';
import type { Box } from './place.ts';
import type { Sink } from './sink.ts';

/** How often it is looked whether somebody else was faster. */
const LOOK_MS = 1_000;

/** True: it is over, and all it printed was told. False: its present attempt is somebody else's. */
export async function runHere(
  box: Box,
  fleet: JobFleet,
  run: RunValue,
  sink: Sink,
  loading: Promise<Executing>,
): Promise<boolean> {
  const taken = new AbortController();
  const ours = new Set<number>();
  const looking = setInterval(() => void look().catch(() => undefined), LOOK_MS);
  const look = async () => {
    const { state, attempt } = await findRun(fleet, run.id);
    if (state === 'running' && !ours.has(attempt)) taken.abort();
  };
  try {
    await runBoxHost(
      box,
      fleet,
      {
        only: run.id,
        emit: (event) => event.kind === 'trouble' && sink.note(event.message),
        onPrinted: (printed) => sink.printed(run.id, printed),
        onExecute: (attempt) => void ours.add(attempt),
      },
      taken.signal,
      loading,
    );
  } finally {
    clearInterval(looking);
  }
  const { attempt } = await findRun(fleet, run.id);
  return attempt === 0 || ours.has(attempt);
}
