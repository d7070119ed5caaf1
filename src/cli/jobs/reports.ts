/** `job list|show|output|cancel|rm|prune`: what is asked about runs that were made. */
import { refuseWithoutOutput } from '../../api/jobs/run-elsewhere.ts';
import type { RunValue } from '../../cluster/job-values.ts';
import { GantryError, messageOf } from '../../errors.ts';
import { runDocument } from '../../jobs/intents/documents.ts';
import {
  cancelRun,
  findRun,
  listExecutors,
  listRuns,
  pruneRuns,
  removeRun,
} from '../../jobs/intents/intents.ts';
import { whyPending } from '../../jobs/intents/waiting.ts';
import { isOver } from '../../jobs/runs.ts';
import { interruptible } from '../interrupt.ts';
import { outputOf } from '../output.ts';
import { ensureExecuted, removeFiles } from './attended.ts';
import type { JobArguments, ListJobsArguments, RunIdArguments, RunIdsArguments } from './options.ts';
import { type Place, withPlace } from './place.ts';
import { written } from './sink.ts';
import { renderRun, renderRuns } from './words.ts';

export async function runJobList(args: ListJobsArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const { fleet } = place;
    const runs = await listRuns(fleet, { active: !args.all });
    await takenUp(place, runs);
    const documents = runs.map(runDocument);
    outputOf(args).document(
      { project: fleet.project, runs: documents },
      renderRuns(runs, fleet.now(), args.all),
    );
    return 0;
  });
}

export async function runShow(args: RunIdArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const { fleet, box } = place;
    const run = await findRun(fleet, args.id);
    await takenUp(place, [run]);
    const executors = run.state === 'pending' && box === undefined ? await listExecutors(fleet) : undefined;
    const pending = run.state === 'pending' ? whyPending(run, executors, fleet.now()) : undefined;
    const document = { ...runDocument(run), ...(pending === undefined ? {} : { pending }) };
    outputOf(args).document(document, renderRun(run, fleet.now(), pending));
    return 0;
  });
}

export async function runOutput(args: RunIdArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const run = await findRun(place.fleet, args.id);
    refuseWithoutOutput(run);
    await interruptible(async (signal) => {
      const { bytes } = await (await place.files(run)).output(run.id);
      try {
        for await (const part of bytes) {
          if (!(await written(process.stdout, part)) || signal.aborted) break;
        }
      } catch (error) {
        throw cutShort(run, error);
      }
    });
    return 0;
  });
}

export async function runCancel(args: RunIdsArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const before: RunValue[] = [];
    for (const id of args.id) before.push(await findRun(place.fleet, id));
    const after: RunValue[] = [];
    for (const { id } of before) after.push(await cancelRun(place.fleet, id));
    await takenUp(place, after);
    const words = after.map((run, index) => cancelWords(run, before[index] ?? run));
    outputOf(args).document({ runs: after.map(runDocument) }, words.join('\n'));
    return 0;
  });
}

function cancelWords(run: RunValue, before: RunValue): string {
  if (isOver(before)) return `${run.id} is over already: ${run.state}`;
  return isOver(run) ? `${run.id} is cancelled` : `${run.id} is being cancelled on ${run.host}`;
}

export async function runRemove(args: RunIdsArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const removed: string[] = [];
    for (const id of args.id) removed.push((await removeRun(place.fleet, id)).id);
    await removeFiles(place, removed);
    outputOf(args).document({ removed }, removed.map((id) => `Removed ${id}`).join('\n'));
    return 0;
  });
}

export async function runPrune(args: JobArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const removed = await pruneRuns(place.fleet);
    await removeFiles(place, removed);
    const words = removed.length === 1 ? 'Removed 1 run' : `Removed ${removed.length} runs`;
    outputOf(args).document({ removed }, words);
    return 0;
  });
}

/** Whatever waits on this box, or was left by a process that died, has somebody who does it. */
async function takenUp(place: Place, runs: readonly RunValue[]): Promise<void> {
  if (place.box === undefined) return;
  const { fleet } = place;
  for (const run of runs.filter((one) => !isOver(one))) {
    const claim = fleet.keys.project(fleet.project).jobs.claim(run.id);
    if ((await fleet.store.get(claim)) === undefined) return ensureExecuted(place);
  }
}

function cutShort({ id, host }: RunValue, cause: unknown): GantryError {
  return new GantryError('output-gone', `The output of ${id} was cut short: ${messageOf(cause)}`, {
    hint: `What was printed is not all of it; see whether ${host} is well, and try again.`,
    retryable: true,
    cause,
  });
}
