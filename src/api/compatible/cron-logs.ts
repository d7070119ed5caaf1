/** What the cron server told of its runs in an allocation's `Logs`, told of the runs that a schedule keeps. Pure. */
import type { RunValue, ScheduleValue } from '../../cluster/job-values.ts';

/** The oldest first. `runs`: the newest first. */
export function logsOf(
  { trouble, at, checked }: ScheduleValue,
  runs: readonly RunValue[],
): readonly string[] {
  const told = [...runs].reverse().flatMap(toldOf);
  return trouble === undefined ? told : [...told, line(checked?.at ?? at, trouble)];
}

function toldOf({ id, at, steps, startedAt, endedAt, end, state }: RunValue): string[] {
  const [step] = steps;
  const container = step?.container;
  const begun = step?.startedAt ?? startedAt ?? at;
  const made = container === undefined ? [] : [line(startedAt ?? at, `created: ${id} ${container}`)];
  const started = container === undefined ? [] : [line(begun, `started: ${id} ${container}`)];
  return [...made, ...started, ...(endedAt === undefined ? [] : [line(endedAt, ended())])];

  function ended(): string {
    if (state === 'complete') return `ended: ${id} with exit code 0`;
    return `${state}: ${id} ${end?.why ?? ''}`.trim();
  }
}

function line(iso: string, words: string): string {
  // As Go prints a time.
  return `${iso.slice(0, 19).replace('T', ' ')} +0000 UTC, [${words}]`;
}
