/**
 * What a host does about jobs, for as long as it runs: claims runs that it may and should run, executes them, takes
 * note of those whose host is lost, fires schedules, removes what has expired. The same in a fleet and on one box,
 * where the store is a file. Pure decisions are in placement.ts, runs.ts and ticks.ts.
 */
import type { RunValue } from '../cluster/job-values.ts';
import type { Keys } from '../cluster/keys.ts';
import type { Condition, Mirror, Session, Store } from '../cluster/store.ts';
import type { JobEngine } from '../docker/job-engine.ts';
import { isGantryError, messageOf } from '../errors.ts';
import type { AgentEvent, Tell } from '../events.ts';
import type { SecretFiles, Secrets } from '../secrets/secrets.ts';
import type { OnLogged } from './disk/run-log-writer.ts';
import type { Execute, ExecutionInput } from './execution/execution.ts';
import { Expiry } from './expiry.ts';
import { ImageCheck } from './image-check.ts';
import { type JobClock, jobClock } from './job-clock.ts';
import { JobsView } from './jobs-view.ts';
import { Losses } from './losses.ts';
import { OwnRuns } from './own-runs.ts';
import { Presence } from './presence.ts';
import { Rounds } from './rounds.ts';
import { Scheduler } from './scheduler.ts';
import type { Surroundings } from './surroundings.ts';

export interface JobsHostInput {
  readonly store: Store;
  readonly keys: Keys;
  readonly project: string;
  readonly host: string;
  readonly hostId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly stateDir: string;
  readonly engine: JobEngine;
  readonly secrets: Secrets;
  readonly secretFiles: SecretFiles;
  /** Runs at once. */
  readonly slots: number;
  /** Of the API that serves logs and outputs here; absent: there is none. */
  readonly api?: { readonly address: string; readonly port: number; readonly token: string };
  /**
   * No other process runs jobs of the project under this host id, as in a fleet: a claim of it that this process does
   * not know is of one that has died, and is taken over at once. Else it is left until the store has ended it.
   */
  readonly alone?: boolean;
  /** This run alone, and no schedules: of a command that waits for it. */
  readonly only?: string;
  /** Ends by itself once nothing is to be done: no run, no schedule. Of a runner that was started on demand. */
  readonly untilIdleMs?: () => number;
  readonly emit: (event: AgentEvent) => void;
  /** Of the runs this host executes. */
  readonly onPrinted?: ExecutionInput['onPrinted'];
  /** Called once, with what makes a run and begins it here in one write. */
  readonly onReady?: (take: TakeRun) => void;
  readonly execute: Execute;
  /** Wall clock, epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Makes a run that is not there yet (`conditions` hold that) and claims it. False: the conditions do not hold; undefined: this host
 * may not take it now, and nothing was tried.
 */
export type TakeRun = (
  run: RunValue,
  conditions: readonly Condition[],
  onLogged?: OnLogged,
) => Promise<boolean | undefined>;

/** Until aborted; then lets go of what runs, which a next one finds again, and ends. With `only`: until that run has ended. */
export type RunJobsHost = (input: JobsHostInput, signal: AbortSignal) => Promise<void>;

/** How long the host's keys outlive its process: a new start within it goes on where the old one was. */
const SESSION_TTL_MS = 15_000;
/** How often it is looked whether nothing is to be done any more, if nothing happens. */
const END_LOOK_MS = 1_000;
/** Of one that does not end by itself: as long as a timer can be. */
const NEVER_MS = 2 ** 31 - 1;
/** The same trouble, met again and again, is told once in so long. */
const TROUBLE_TOLD_MS = 60_000;
/** Different ones, in that time. */
const MOST_TROUBLES = 100;

export const runJobsHost: RunJobsHost = (input, signal) => runWithClock(input, jobClock(input.now), signal);

/** For simulations, whose clock is moved by hand. */
export function runWithClock(input: JobsHostInput, clock: JobClock, signal: AbortSignal): Promise<void> {
  return new JobsHost(input, clock).run(signal);
}

type Part = 'own' | 'presence' | 'losses' | 'scheduler' | 'images' | 'expiry' | 'end';

class JobsHost {
  readonly #input: JobsHostInput;
  readonly #clock: JobClock;
  readonly #ended = new AbortController();
  readonly #session: Session;
  readonly #mirror: Mirror;
  readonly #view: JobsView;
  readonly #presence: Presence;
  readonly #own: OwnRuns;
  readonly #expiry: Expiry;
  /** What is done about runs, about schedules, and whatever has time. */
  readonly #rounds: Readonly<Record<Part, Rounds>>;
  #busyAt: number;
  /** Troubles of late, by their words, and when they were told. */
  readonly #told = new Map<string, number>();

  constructor(input: JobsHostInput, clock: JobClock) {
    this.#input = input;
    this.#clock = clock;
    const keys = input.keys.project(input.project);
    this.#view = new JobsView(keys.jobs);
    this.#session = input.store.session({ ttlMs: SESSION_TTL_MS, onChange: () => this.#onLease() });
    const range = keys.jobs.followed();
    this.#mirror = input.store.follow({ range, onChange: (changed) => this.#onChange(changed) });
    const tell: Tell = (fact) => input.emit({ ...fact, component: '', at: clock.wall() });
    const tellTrouble = (error: unknown) => this.#tellTrouble(error);
    const around: Surroundings = {
      ...{ input, keys, clock, tell, tellTrouble },
      ...{ view: this.#view, mirror: this.#mirror, session: this.#session },
    };
    const presence = new Presence(around);
    this.#presence = presence;
    this.#own = new OwnRuns(around, presence, (over) => {
      if (over !== undefined) this.#expiry.over(over);
      this.#rounds.own.poke();
      this.#rounds.end.poke();
    });
    this.#busyAt = clock.steady();
    this.#expiry = new Expiry(around, presence, this.#own);
    const rounds = (part: { look(): Promise<number> }) =>
      new Rounds({ look: () => part.look(), clock, onTrouble: tellTrouble });
    this.#rounds = {
      presence: rounds(presence),
      own: rounds(this.#own),
      losses: rounds(new Losses(around)),
      scheduler: rounds(new Scheduler(around, presence, this.#own)),
      images: rounds(new ImageCheck(around, presence, this.#ended.signal)),
      expiry: rounds(this.#expiry),
      end: rounds({ look: () => this.#lookForEnd() }),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#input.onReady?.((run, conditions, onLogged) =>
      this.#own.takeNew(run, (writes) => this.#input.store.commit(conditions, writes), onLogged),
    );
    const end = () => {
      this.#ended.abort();
      this.#own.leave();
    };
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    try {
      const parts = this.#parts().map((part) => part.run(this.#ended.signal));
      await Promise.all(parts);
      await Promise.all([this.#presence.leave(), this.#own.left()]);
      await this.#expiry.close();
    } finally {
      signal.removeEventListener('abort', end);
      await this.#close(signal.aborted);
    }
  }

  /** Whoever waits for one run leaves all else to those who stay. */
  #parts(): readonly Rounds[] {
    const { own, end } = this.#rounds;
    return this.#input.only === undefined ? Object.values(this.#rounds) : [own, end];
  }

  /** Ends by itself, where it is to, after nothing was to be done for as long as it waits for more. */
  async #lookForEnd(): Promise<number> {
    if (this.#input.only === undefined && this.#input.untilIdleMs === undefined) return NEVER_MS;
    const patienceMs = this.#input.only === undefined ? this.#input.untilIdleMs?.() : 0;
    const now = this.#clock.steady();
    if (patienceMs === undefined || !this.#isIdle()) this.#busyAt = now;
    else if (now - this.#busyAt >= patienceMs) this.#ended.abort();
    return END_LOOK_MS;
  }

  /** Nothing is to be done, or the one run that is waited for is over. */
  #isIdle(): boolean {
    const { only } = this.#input;
    const { runs, schedules } = this.#view;
    if (!this.#mirror.current || this.#own.size > 0) return false;
    if (only !== undefined) return !runs.has(only);
    return runs.size === 0 && [...schedules.values()].every(({ value }) => value.schedule.suspended);
  }

  #onChange(changed?: readonly string[]): void {
    const kinds = this.#view.apply(this.#mirror.entries, changed);
    const all = changed === undefined || changed.length === 0; // any may have, or the store came or went
    const { own, presence, scheduler, images, expiry, end } = this.#rounds;
    if (all || kinds.has('runs')) end.poke();
    if (all || kinds.has('runs') || kinds.has('claims') || kinds.has('executors')) own.poke();
    if (all || kinds.has('executors')) presence.poke();
    if (all || kinds.has('schedules') || kinds.has('cursors')) scheduler.poke();
    if (all || kinds.has('schedules')) images.poke();
    if (all) expiry.poke();
  }

  #onLease(): void {
    this.#rounds.presence.poke();
    this.#rounds.own.poke();
  }

  #tellTrouble(error: unknown): void {
    const known = isGantryError(error) ? error : undefined;
    const [message, at] = [messageOf(error), this.#clock.steady()];
    for (const [words, toldAt] of this.#told) if (at - toldAt >= TROUBLE_TOLD_MS) this.#told.delete(words);
    if (this.#told.has(message) || this.#told.size >= MOST_TROUBLES) return;
    this.#told.set(message, at);
    const hint = known?.hint === undefined ? {} : { hint: known.hint };
    const trouble = { kind: 'trouble', code: known?.code ?? 'internal', message, ...hint } as const;
    this.#input.emit({ ...trouble, component: '', at: this.#clock.wall() });
  }

  async #close(isLeft: boolean): Promise<void> {
    this.#ended.abort();
    this.#mirror.close();
    // What runs here goes on: a new start within the lease's time finds its claims, and takes them over. Where another
    // process may go on at once, it must not take them for those of one that lives.
    if (isLeft && this.#input.alone === true) this.#session.abandon();
    else await this.#session.close();
  }
}
