/**
 * Schedules of every second on three hosts while agents are killed and etcd changes its leader: has each tick exactly
 * one run, and how late does its container do its work?
 */
import type { Schedule } from '../../src/config/job.ts';
import { deleteSchedule, listRuns, pushSchedule } from '../../src/jobs/intents.ts';
import { tickId } from '../../src/jobs/run-id.ts';
import { until } from '../ground/harness.ts';
import type { Ends } from './ends.ts';
import { duplicates, Evidence } from './jobs-evidence.ts';
import { harass, openJobsFleet, untilAllExecute } from './jobs-fleet.ts';
import type { Say } from './jobs-stage.ts';

/** Ticks in a second: what two cores can start containers for, and have something left. */
const SCHEDULES = 1;
const KILL_EVERY_MS = 12_000;
const LEADER_EVERY_MS = 90_000;
const FINISH_MS = 120_000;
const TELL_EVERY_MS = 60_000;
const SECOND = 1_000;

export async function measureTicks(t: Ends, { ticks, say }: { ticks: number; say: Say }) {
  const fleet = await openJobsFleet(t);
  const { jobs, image, shop } = fleet;
  const evidence = await Evidence.gather(t);
  const agents = await shop.agents();
  await untilAllExecute(fleet);
  const names = Array.from({ length: SCHEDULES }, (_, i) => `every-second-${i}`);
  for (const name of names) await pushSchedule(jobs, everySecond(name, evidence.job(name, image)));
  const perSchedule = Math.ceil(ticks / SCHEDULES);
  // What comes before the first whole second after the push is not counted.
  const first = Math.ceil(Date.now() / SECOND) * SECOND + 2 * SECOND;
  const last = first + (perSchedule - 1) * SECOND;
  const over = new AbortController();
  const harassing = harass(fleet, agents, {
    killEveryMs: KILL_EVERY_MS,
    leaderEveryMs: LEADER_EVERY_MS,
    signal: over.signal,
  });
  let toldAt = 0;
  const isOver = () => {
    const leftMs = last - Date.now();
    if (Date.now() - toldAt >= TELL_EVERY_MS) {
      toldAt = Date.now();
      say(`${evidence.seen.length} runs, ${Math.round(leftMs / SECOND)} s to go`);
    }
    return leftMs <= 0;
  };
  await until(isOver, { timeoutMs: perSchedule * SECOND + FINISH_MS, what: 'the last tick' });
  over.abort();
  const faults = await harassing;
  const wanted = new Map(
    names.flatMap((name) =>
      Array.from(
        { length: perSchedule },
        (_, i) => [tickId(name, first + i * SECOND), first + i * SECOND] as const,
      ),
    ),
  );
  const seenOf = () => new Set(evidence.seen.map(({ run }) => run));
  const missing = () => {
    const seen = seenOf();
    return [...wanted.keys()].filter((run) => !seen.has(run));
  };
  await until(() => missing().length === 0, { timeoutMs: FINISH_MS, what: 'every tick had its run' }).catch(
    () => undefined, // told below as misses
  );
  for (const name of names) await deleteSchedule(jobs, name);
  const counted = evidence.seen.filter(({ run }) => wanted.has(run));
  const skewMs = counted.map(({ run, at }) => at - (wanted.get(run) ?? at));
  return {
    ...{ ticks: wanted.size, ran: new Set(counted.map(({ run }) => run)).size, ...faults },
    ...{ duplicates: duplicates(counted), misses: missing(), skewMs },
    unfinished: (await listRuns(jobs, { active: true })).length,
  };
}

function everySecond(name: string, job: Schedule['job']): Schedule {
  return {
    ...{ name, cron: '* * * * * * *', timeZone: 'UTC', suspended: false, job },
    // What is measured is whether ticks are lost, not what is done about slow runs.
    ...{ overlap: 'allow', missed: 'runOnce' },
  };
}
