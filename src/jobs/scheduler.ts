/**
 * Fires schedules: each tick is one transaction that compares the schedule and its cursor, and makes the run or passes
 * the tick by. Who makes a run that may begin claims it with that. Hosts come to a tick in the order in which they would
 * claim its run, so mostly the first deals with it; all may, and to lose is normal. What is due is told by ticks.ts.
 */
import type { CursorValue, RunEnd, RunValue, ScheduleValue } from '../cluster/job-values.ts';
import type { Committed, Condition, Write } from '../cluster/store.ts';
import { type CronTimes, cronTimes } from '../config/cron.ts';
import type { Schedule } from '../config/job.ts';
import { tickId } from './intents/run-id.ts';
import type { Seen } from './jobs-view.ts';
import type { OwnRuns } from './own-runs.ts';
import { type Candidate, canTake, leavesMs } from './placement.ts';
import type { Presence } from './presence.ts';
import { settled } from './rounds.ts';
import { cancelWanted, ended, endWrites, isOver, newRun } from './runs.ts';
import { spread } from './spread.ts';
import type { Surroundings } from './surroundings.ts';
import { type Deal, nextDeal } from './ticks.ts';

/** Nobody sleeps longer, so that a clock that is set is noticed. */
const LOOK_MS = 1_000;
/** Where there is no schedule: whoever makes one pokes. */
const REST_MS = 5_000;
/** Hosts that cannot run a tick's job come to it after those that can, and one after the other. */
const STAGGER_MS = 150;
const HEAR_MS = 20;
/** For so long what was written here is waited for in the mirror. */
const HEARD_WITHIN_MS = 5_000;
/** Of what a replaced run's end takes, that many fit one transaction. */
const MOST_CANCELLED = 30;
/** Ticks under way to the store at once. */
const MOST_AT_ONCE = 32;

/** When a schedule's next tick comes, as long as neither it nor its cursor changes. */
interface Due {
  readonly schedule: number;
  readonly cursor: number;
  readonly times: CronTimes;
  /** Epoch milliseconds. */
  readonly from: number;
  readonly next: number | undefined;
  /** When this host comes to it, found once it is due: while hosts wait for each other their loads go on changing. */
  at?: number;
}

/** Who may run what is due, as seen at one moment. */
interface Hosts {
  readonly me: Candidate | undefined;
  readonly others: readonly Candidate[];
}

export class Scheduler {
  readonly #around: Surroundings;
  readonly #presence: Presence;
  readonly #own: OwnRuns;
  readonly #due = new Map<string, Due>();
  /** Revisions that the mirror must have come to before a schedule is looked at again, and until when that is waited for. */
  readonly #written = new Map<string, { readonly revision: number; readonly until: number }>();

  constructor(around: Surroundings, presence: Presence, own: OwnRuns) {
    this.#around = around;
    this.#presence = presence;
    this.#own = own;
  }

  async look(): Promise<number> {
    const { mirror, view, clock } = this.#around;
    if (!mirror.current) return LOOK_MS;
    for (const name of this.#due.keys()) if (!view.schedules.has(name)) this.#due.delete(name);
    const due: (() => Promise<void>)[] = [];
    const hosts = { me: this.#own.candidate, others: this.#presence.others() };
    let restMs = view.schedules.size === 0 ? REST_MS : LOOK_MS;
    for (const schedule of view.schedules.values()) {
      const ahead = this.#ahead(schedule, hosts);
      if (ahead === undefined) continue;
      const inMs = ahead.at - clock.wall();
      if (inMs <= 0 && due.length < MOST_AT_ONCE) due.push(() => this.#deal(schedule, ahead.due));
      restMs = Math.min(restMs, Math.max(0, inMs));
    }
    await settled(due.map((deal) => deal()));
    // The mirror hears of what was written, or lost to others, in between.
    return due.length > 0 ? Math.max(restMs, HEAR_MS) : restMs;
  }

  /** When this host comes to its next tick; undefined: not before something changes. */
  #ahead(
    { value, revision }: Seen<ScheduleValue>,
    hosts: Hosts,
  ): { readonly due: Due; readonly at: number } | undefined {
    const { name } = value.schedule;
    if (!fires(value) || this.#isBehind(name)) return undefined;
    const due = this.#dueOf({ value, revision });
    if (due?.next === undefined) return undefined;
    if (due.next > this.#around.clock.wall()) return { due, at: due.next };
    due.at ??= due.next + this.#leavesMs(value.schedule, due.next, hosts);
    return { due, at: due.at };
  }

  #leavesMs({ name, job }: Schedule, instant: number, { me, others }: Hosts): number {
    const run = { id: tickId(name, instant), job };
    const staggerMs = STAGGER_MS * spread(name, String(instant), this.#around.input.host);
    return leavesMs(run, me, others) + (me !== undefined && canTake(run, me) ? 0 : staggerMs);
  }

  /** Of what this host wrote the mirror has not heard yet. */
  #isBehind(name: string): boolean {
    const { mirror, clock } = this.#around;
    const written = this.#written.get(name);
    if (written === undefined) return false;
    if (mirror.revision < written.revision && clock.steady() < written.until) return true;
    this.#written.delete(name);
    return false;
  }

  #dueOf({ value, revision }: Seen<ScheduleValue>): Due | undefined {
    const { schedule } = value;
    const cursor = this.#around.view.cursors.get(schedule.name);
    const known = this.#due.get(schedule.name);
    if (known?.schedule === revision && known.cursor === (cursor?.revision ?? 0)) return known;
    try {
      const times = known?.schedule === revision ? known.times : cronTimes(schedule.cron, schedule.timeZone);
      const from = Date.parse(cursor?.value.instant ?? value.at);
      const due: Due = {
        schedule: revision,
        cursor: cursor?.revision ?? 0,
        times,
        from,
        next: times.next(from),
      };
      this.#due.set(schedule.name, due);
      return due;
    } catch (error) {
      this.#around.tellTrouble(error);
      return undefined;
    }
  }

  async #deal(schedule: Seen<ScheduleValue>, due: Due): Promise<void> {
    const { view, clock } = this.#around;
    const { name } = schedule.value.schedule;
    const active = view.activeOf(name);
    const deal = nextDeal({
      ...{ schedule: schedule.value.schedule, times: due.times, cursor: due.from, now: clock.wall() },
      active: active.map(({ value }) => value),
    });
    if (deal === undefined) return;
    const run = this.#runOf(schedule.value, deal);
    const commit = async (made: readonly Write[]) => {
      const rest = [this.#cursorWrite(name, deal), ...this.#cancelWrites(deal, active)];
      const committed = await this.#commit(schedule, due, [...this.#absent(run), ...rest, ...made]);
      if (committed.done) this.#tell(name, deal, run);
      return committed;
    };
    const taken = mayBegin(run) ? await this.#own.takeNew(run, commit) : undefined;
    if (!(taken ?? (await commit(this.#runWrites(run))).done)) await this.#passDone(schedule, due, deal, run);
  }

  #runOf({ schedule, by }: ScheduleValue, deal: Deal): RunValue {
    const now = this.#around.clock.wall();
    const missed = deal.kind === 'run' && deal.missed > 0 ? { missed: deal.missed } : {};
    const run = newRun({
      ...{ id: tickId(schedule.name, deal.instant), job: schedule.job, by, at: now },
      input: { kind: 'none' },
      schedule: { name: schedule.name, instant: new Date(deal.instant).toISOString(), ...missed },
      after: deal.kind === 'run' ? deal.after : [],
    });
    return deal.kind === 'run' ? run : ended(run, skippedEnd(deal.why), now).run;
  }

  #cursorWrite(name: string, { instant }: Deal): Operation {
    const value: CursorValue = { format: 1, instant: new Date(instant).toISOString() };
    return { kind: 'put', key: this.#around.keys.jobs.cursor(name), value: JSON.stringify(value) };
  }

  #runWrites(run: RunValue): readonly Write[] {
    const { keys } = this.#around;
    const key = isOver(run) ? keys.ended(run.id) : keys.jobs.run(run.id);
    return isOver(run) && run.job.remove ? [] : [{ kind: 'put', key, value: JSON.stringify(run) }];
  }

  /** What is replaced: asked to end, or over at once where nobody runs it yet. */
  #cancelWrites(deal: Deal, active: readonly Seen<RunValue>[]): readonly Operation[] {
    if (deal.kind !== 'run' || !deal.replaces) return [];
    const { keys, clock, input } = this.#around;
    return active
      .slice(0, MOST_CANCELLED)
      .flatMap(({ value, revision: modRevision }): readonly Operation[] => {
        const wanted = cancelWanted(value, `gantryd@${input.host}`, clock.wall(), 'a newer run replaces it');
        if (wanted === value) return [];
        const key = keys.jobs.run(value.id);
        const put = { kind: 'put', key, value: JSON.stringify(wanted) } as const;
        return [{ key, modRevision }, ...(isOver(wanted) ? endWrites(keys, wanted) : [put])];
      });
  }

  #absent({ id }: RunValue): readonly Condition[] {
    const { keys } = this.#around;
    return [keys.jobs.run(id), keys.ended(id)].map((key) => ({ key, createRevision: 0 }));
  }

  async #commit(
    { value, revision }: Seen<ScheduleValue>,
    due: Due,
    operations: readonly Operation[],
  ): Promise<Committed> {
    const { keys, input } = this.#around;
    const { name } = value.schedule;
    const cursor = keys.jobs.cursor(name);
    const asSeen =
      due.cursor === 0 ? { key: cursor, createRevision: 0 } : { key: cursor, modRevision: due.cursor };
    const conditions = [{ key: keys.jobs.schedule(name), modRevision: revision }, asSeen];
    const committed = await input.store.commit(
      [...conditions, ...operations.filter(isCondition)],
      operations.filter(isWrite),
    );
    if (committed.done) this.#await(name, committed.revision);
    return committed;
  }

  #await(name: string, revision: number): void {
    this.#written.set(name, { revision, until: this.#around.clock.steady() + HEARD_WITHIN_MS });
  }

  /** The transaction was lost: to another host, mostly. If the tick's run is there all the same, the cursor is behind. */
  async #passDone(schedule: Seen<ScheduleValue>, due: Due, deal: Deal, run: RunValue): Promise<void> {
    const { input, keys } = this.#around;
    const { name } = schedule.value.schedule;
    const there = await input.store.get(keys.jobs.cursor(name));
    if ((there?.modRevision ?? 0) !== due.cursor) return this.#await(name, there?.modRevision ?? 0);
    const isMade = (
      await Promise.all([keys.jobs.run(run.id), keys.ended(run.id)].map((k) => input.store.get(k)))
    ).some((entry) => entry !== undefined);
    if (isMade) await this.#commit(schedule, due, [this.#cursorWrite(name, deal)]);
  }

  #tell(schedule: string, deal: Deal, run: RunValue): void {
    const instant = new Date(deal.instant).toISOString();
    const made = deal.kind === 'run' ? { run: run.id } : {};
    this.#around.tell({ kind: 'schedule-ticked', schedule, instant, ...made, why: deal.why });
  }
}

type Operation = Condition | Write;

function isWrite(operation: Operation): operation is Write {
  return 'kind' in operation;
}

function isCondition(operation: Operation): operation is Condition {
  return !isWrite(operation);
}

function mayBegin({ state, after }: RunValue): boolean {
  return state === 'pending' && after === undefined;
}

function fires({ schedule, trouble }: ScheduleValue): boolean {
  return !schedule.suspended && trouble === undefined;
}

function skippedEnd(why: string): RunEnd {
  return { kind: 'skipped', exitCode: 0, step: 0, why, lines: [] };
}
