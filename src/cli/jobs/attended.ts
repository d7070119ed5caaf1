/** A run that a command waits for: told as it goes, cancelled by Ctrl-C, and forgotten after it where nothing is to be kept. */
import type { RunValue } from '../../cluster/job-values.ts';
import type { Job } from '../../config/job.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import { cancelRun, findRun, removeRun } from '../../jobs/intents/intents.ts';
import { interruptible } from '../interrupt.ts';
import { type Followed, followRun } from './follow.ts';
import type { AttachArguments } from './options.ts';
import { type Place, withPlace } from './place.ts';
import { openSink, type Sink } from './sink.ts';

/** What Ctrl-C ends a command with. */
export const INTERRUPTED = 130;
/** Of a run of which nothing is to be kept, until it was told how it ended. */
const KEPT_UNTIL_TOLD_MS = 600_000;
const ENSURE_AGAIN_MS = 2_000;

/** Goes on with a run that another process told of so far: `job run` does when the runner it had asked is gone. */
export async function runAttach(args: AttachArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const { from, showLogs } = args;
    const sink = openSink({ json: args.json, level: args.logLevel, showLogs });
    const run = await findRun(place.fleet, args.id).catch((error) => {
      if (!isGantryError(error, 'run-unknown') || from !== undefined) throw error;
      throw new GantryError(
        'interrupted',
        'The runner of this box ended before it had begun; nothing was run',
        {
          ...{ hint: 'Give the command again.', retryable: true, cause: error },
        },
      );
    });
    const followed = { place, run, sink, ...(from === undefined ? {} : { from }) };
    const ended = await whileExecuted(place, () =>
      interruptible((interrupted) => attended(followed, interrupted), INTERRUPTED),
    );
    return told(place, ended, sink, args.remove);
  });
}

/** As it is submitted where its end is waited for: whoever waits removes it then. */
export function keptUntilTold(job: Job, remove: boolean): Job {
  return remove ? { ...job, remove: false, keepMs: KEPT_UNTIL_TOLD_MS } : job;
}

/** Follows it to its end, or until it is left; the first interrupt cancels it. Its last record. */
export async function attended(
  followed: Followed,
  interrupted: AbortSignal,
  left = new AbortController().signal,
): Promise<RunValue> {
  const { place, run, sink } = followed;
  const stopCancelling = cancelling(place, run, sink, interrupted);
  try {
    return (await followRun(followed, left)) ?? (await findRun(place.fleet, run.id));
  } finally {
    await stopCancelling();
  }
}

/** Tells how it ended, and forgets it where nothing is to be kept. The exit code. */
export async function told(place: Place, run: RunValue, sink: Sink, remove: boolean): Promise<number> {
  const code = sink.ended(run);
  if (!remove) return code;
  await removeRun(place.fleet, run.id);
  await removeFiles(place, [run.id]);
  return code;
}

/** On a box it goes from the disk at once; a host of a fleet sees to it itself. */
export async function removeFiles({ fleet, box }: Place, runs: readonly string[]): Promise<void> {
  if (box === undefined) return;
  const { removeRunFolder, runFolder } = await import('../../jobs/disk/run-folder.ts');
  for (const run of runs) await removeRunFolder(runFolder(box.stateDir, fleet.project, run));
}

/** Has somebody on this box execute what was left to it. */
export async function ensureExecuted({ box }: Place): Promise<void> {
  if (box === undefined) return;
  const { ensureRunner } = await import('../runner/start.ts');
  await ensureRunner(box);
}

/** The same for as long as the body takes: a runner may end before what it ran does. */
export async function whileExecuted<T>(place: Place, body: () => Promise<T>): Promise<T> {
  await ensureExecuted(place);
  // Whatever keeps one from being started now, the next look tries again.
  const again = () => void ensureExecuted(place).catch(() => undefined);
  const looking = setInterval(again, ENSURE_AGAIN_MS);
  try {
    return await body();
  } finally {
    clearInterval(looking);
  }
}

/** The first Ctrl-C cancels the run, and its end is waited for. Answers what takes that back. */
export function cancelling(
  place: Place,
  run: RunValue,
  sink: Sink,
  interrupted: AbortSignal,
): () => Promise<void> {
  let asked: Promise<unknown> = Promise.resolve();
  const cancel = () => {
    sink.note('Cancelling it; Ctrl-C again leaves it as it is');
    asked = cancelRun(place.fleet, run.id, 'interrupted').catch((error) =>
      sink.note(`It could not be cancelled: ${error instanceof Error ? error.message : error}`),
    );
  };
  if (interrupted.aborted) cancel();
  else interrupted.addEventListener('abort', cancel, { once: true });
  return async () => {
    interrupted.removeEventListener('abort', cancel);
    await asked;
  };
}
