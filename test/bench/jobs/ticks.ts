/**
 * A schedule of every second on three hosts while agents are killed and etcd changes its leader: has each tick exactly
 * one run, how late is it claimed by a host, and how late does its container do its work?
 */
import type { Schedule } from '../../../src/config/job.ts';
import { deleteSchedule, listRuns, pushSchedule } from '../../../src/jobs/intents/intents.ts';
import { tickId } from '../../../src/jobs/intents/run-id.ts';
import type { Agent } from '../../e2e/fleet.ts';
import { until } from '../../ground/harness.ts';
import type { Ends } from '../ends.ts';
import { duplicates, Evidence } from './evidence.ts';
import { harass, openJobsFleet, untilAllExecute } from './fleet.ts';
import type { Say } from './stage.ts';
import { firedBy, Timeline } from './timeline.ts';

const NAME = 'every-second';
const KILL_EVERY_MS = 12_000;
const FINISH_MS = 120_000;
const TELL_EVERY_MS = 60_000;
const SECOND = 1_000;

export interface TicksOptions {
  readonly ticks: number;
  readonly leaderEveryMs: number;
  readonly say: Say;
}

/** A tick and what came of it. Milliseconds after the tick; undefined: not seen. */
export interface Tick {
  readonly run: string;
  /** Epoch milliseconds. */
  readonly instant: number;
  readonly by: string | undefined;
  readonly made: number | undefined;
  readonly claimant: string | undefined;
  readonly started: number | undefined;
  readonly claimed: number | undefined;
  readonly worked: number | undefined;
}

export async function measureTicks(t: Ends, { ticks, leaderEveryMs, say }: TicksOptions) {
  const fleet = await openJobsFleet(t);
  const { jobs, image, shop } = fleet;
  const evidence = await Evidence.gather(t);
  const agents = await shop.agents();
  await untilAllExecute(fleet);
  const timeline = await Timeline.watch(t, shop.etcd.endpoints);
  await pushSchedule(jobs, everySecond(evidence.job(NAME, image)));
  const instants = instantsFrom(Date.now(), ticks);
  const wanted = new Map(instants.map((instant) => [tickId(NAME, instant), instant]));
  const over = new AbortController();
  const options = { killEveryMs: KILL_EVERY_MS, leaderEveryMs, signal: over.signal };
  const harassing = harass(fleet, agents, options);
  await untilLast(instants.at(-1) ?? 0, evidence, say).finally(() => over.abort());
  const { faults, agents: all } = await harassing;
  const missing = () => missingOf(wanted, evidence);
  await until(() => missing().length === 0, { timeoutMs: FINISH_MS, what: 'every tick had its run' }).catch(
    () => undefined, // told below as misses
  );
  await deleteSchedule(jobs, NAME);
  const active = () => listRuns(jobs, { active: true });
  const isDone = async () => (await active()).length === 0;
  await until(isDone, { timeoutMs: FINISH_MS, what: 'every run was over' }).catch(() => undefined); // told below
  const counted = evidence.seen.filter(({ run }) => wanted.has(run));
  return {
    ...{ ticks: ticksOf(wanted, timeline, evidence, all), faults },
    ...{ duplicates: duplicates(counted), misses: missing() },
    unfinished: (await active()).length,
  };
}

/** What comes before the second whole second from now is not counted. */
function instantsFrom(now: number, ticks: number): readonly number[] {
  const first = Math.ceil(now / SECOND) * SECOND + 2 * SECOND;
  return Array.from({ length: ticks }, (_, i) => first + i * SECOND);
}

async function untilLast(last: number, evidence: Evidence, say: Say): Promise<void> {
  let toldAt = 0;
  const isOver = () => {
    const leftMs = last - Date.now();
    if (Date.now() - toldAt >= TELL_EVERY_MS) {
      toldAt = Date.now();
      say(`${evidence.seen.length} runs, ${Math.round(leftMs / SECOND)} s to go`);
    }
    return leftMs <= 0;
  };
  await until(isOver, { timeoutMs: last - Date.now() + FINISH_MS, what: 'the last tick' });
}

function missingOf(wanted: ReadonlyMap<string, number>, { seen }: Evidence): readonly string[] {
  const ran = new Set(seen.map(({ run }) => run));
  return [...wanted.keys()].filter((run) => !ran.has(run));
}

function ticksOf(
  wanted: ReadonlyMap<string, number>,
  timeline: Timeline,
  { seen }: Evidence,
  agents: readonly Agent[],
): readonly Tick[] {
  const fired = firedBy(agents);
  const worked = new Map(seen.toReversed().map(({ run, at }) => [run, at])); // the first time counts
  return [...wanted].map(([run, instant]) => {
    const after = (at: number | undefined) => (at === undefined ? undefined : at - instant);
    const { made, started, claimed, claimant } = timeline.of(run);
    return {
      ...{ run, instant, by: fired.get(run), claimant },
      ...{ made: after(made), started: after(started), claimed: after(claimed) },
      worked: after(worked.get(run)),
    };
  });
}

function everySecond(job: Schedule['job']): Schedule {
  return {
    ...{ name: NAME, cron: '* * * * * * *', timeZone: 'UTC', suspended: false, job },
    // What is measured is whether ticks are lost, not what is done about slow runs.
    ...{ overlap: 'allow', missed: 'runOnce' },
  };
}
