/** Which records of runs that are over are kept no longer. Pure. */
import type { RunValue } from '../cluster/job-values.ts';
import { SCHEDULE_HISTORY } from '../config/job.ts';

export interface ExpiryInput {
  readonly ended: readonly RunValue[];
  readonly hasSchedule: (name: string) => boolean;
  /** Epoch milliseconds. */
  readonly now: number;
}

/**
 * A schedule keeps the newest of its runs whatever their age, and beside them the newest ticks that were skipped, so
 * that these do not push out those. Any other run is kept as long as its job says.
 */
export function expired({ ended, hasSchedule, now }: ExpiryInput): readonly RunValue[] {
  const histories = new Map<string, RunValue[]>();
  const gone: RunValue[] = [];
  for (const run of ended) {
    const name = run.schedule?.name;
    if (name === undefined || !hasSchedule(name)) {
      if (Date.parse(run.endedAt ?? run.at) + run.job.keepMs < now) gone.push(run);
      continue;
    }
    const history = `${name}/${run.state === 'skipped' ? 'skipped' : 'run'}`;
    histories.set(history, [...(histories.get(history) ?? []), run]);
  }
  const older = [...histories.values()].flatMap((runs) => runs.sort(newestFirst).slice(SCHEDULE_HISTORY));
  return [...gone, ...older];
}

function newestFirst(a: RunValue, b: RunValue): number {
  const [left, right] = [a.schedule?.instant ?? a.at, b.schedule?.instant ?? b.at];
  return left < right ? 1 : left > right ? -1 : 0;
}
