/** Many jobs submitted at once to three hosts: all finish, none twice, spread over the hosts. */
import { type RunValue, readRun } from '../../../src/cluster/job-values.ts';
import { listRuns, submitRun } from '../../../src/jobs/intents/intents.ts';
import { until } from '../../ground/harness.ts';
import type { Ends } from '../ends.ts';
import { duplicates, Evidence } from './evidence.ts';
import { openJobsFleet, untilAllExecute } from './fleet.ts';
import type { Say } from './stage.ts';

const FINISH_MS = 600_000;

export async function measureBurst(t: Ends, { jobs: count, say }: { jobs: number; say: Say }) {
  const fleet = await openJobsFleet(t);
  const { jobs, image, shop } = fleet;
  const evidence = await Evidence.gather(t);
  await shop.agents();
  await untilAllExecute(fleet);
  const began = performance.now();
  const job = evidence.job('burst', image);
  const input = { kind: 'none' } as const;
  await Promise.all(Array.from({ length: count }, () => submitRun(jobs, job, { input })));
  const submittedMs = performance.now() - began;
  await until(async () => (await listRuns(jobs, { active: true })).length === 0, {
    timeoutMs: FINISH_MS,
    what: 'all runs are over',
  });
  const tookMs = performance.now() - began;
  const { entries } = await jobs.store.list(jobs.keys.project(jobs.project).allEnded());
  const runs = entries.flatMap((entry) => readRun(entry) ?? []);
  const perHost = countBy(runs);
  say(`${runs.length} runs in ${Math.round(tookMs / 1000)} s: ${JSON.stringify(perHost)}`);
  return {
    ...{ jobs: count, submittedMs, wallMs: tookMs, perHost },
    complete: runs.filter(({ state }) => state === 'complete').length,
    others: runs
      .filter(({ state }) => state !== 'complete')
      .map(({ id, state, end }) => `${id}: ${state} ${end?.why ?? ''}`),
    ran: new Set(evidence.seen.map(({ run }) => run)).size,
    duplicates: duplicates(evidence.seen),
  };
}

function countBy(runs: readonly RunValue[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { host = 'none' } of runs) counts[host] = (counts[host] ?? 0) + 1;
  return counts;
}
