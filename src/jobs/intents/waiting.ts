/** Why a run waits to be claimed, or always would, in words. */
import type { ExecutorValue, RunValue } from '../../cluster/job-values.ts';
import type { Job } from '../../config/job.ts';
import { GantryError } from '../../errors.ts';
import type { JobFleet } from '../job-fleet.ts';
import { canRunOn } from '../runs.ts';
import { listExecutors } from './intents.ts';

/** Hosts that are named one by one. */
const NAMED = 5;

/** `executors`: the live hosts; undefined: there is only this box. */
export function whyPending(
  run: RunValue,
  executors: readonly ExecutorValue[] | undefined,
  now: number,
): string {
  if (run.after !== undefined && run.after.length > 0 && run.attempt === 0)
    return `runs of its schedule come first: ${named(run.after)}`;
  if (run.notBefore !== undefined && run.notBefore > now) {
    const seconds = Math.ceil((run.notBefore - now) / 1000);
    return `it is tried again in ${seconds} s, ${run.past.at(-1)?.end.why ?? 'after a pause'}`;
  }
  if (executors === undefined) return 'the runner of this box has other runs to do, or begins';
  return noHost(run, executors) ?? `all hosts that may run it are busy: ${named(fitting(run, executors))}`;
}

/** Why no live host may run it; undefined: one may. */
export function noHost(run: Pick<RunValue, 'job'>, executors: readonly ExecutorValue[]): string | undefined {
  if (executors.length === 0) return 'no live host runs jobs';
  if (fitting(run, executors).length > 0) return undefined;
  const why = executors.map((executor) => canRunOn(run, executor) ?? '');
  return `no live host may run it: ${named(why, '; ')}`;
}

/** no-hosts: nobody could run it now. */
export async function refuseNowhere(fleet: JobFleet, job: Job): Promise<void> {
  const why = noHost({ job }, await listExecutors(fleet));
  if (why === undefined) return;
  throw new GantryError('no-hosts', `Nothing was submitted: ${why}`, {
    hint: `gantryd run ${fleet.project} starts an agent on a host; one with --no-jobs runs none.`,
    retryable: true,
  });
}

function fitting(run: Pick<RunValue, 'job'>, executors: readonly ExecutorValue[]): string[] {
  return executors.filter((executor) => canRunOn(run, executor) === undefined).map(({ host }) => host);
}

function named(names: readonly string[], between = ', '): string {
  const more = names.length - NAMED;
  const shown = names.slice(0, NAMED).join(between);
  return more > 0 ? `${shown} and ${more} more` : shown;
}
