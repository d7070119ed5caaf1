/**
 * The runs in this host's hands: claims pending ones that are its to run, goes on with those that it had before it was
 * started anew, keeps their claims under its lease, and ends in time what somebody else may begin again.
 */
import type { ClaimValue, RunValue } from '../cluster/job-values.ts';
import type { Committed, Write } from '../cluster/store.ts';
import { isGantryError } from '../errors.ts';
import { Attempt } from './attempt.ts';
import type { OnLogged } from './disk/run-log-writer.ts';
import type { Seen } from './jobs-view.ts';
import { type Candidate, canTake, place, startsInMs } from './placement.ts';
import type { Presence } from './presence.ts';
import { settled } from './rounds.ts';
import { canRunOn, claimed } from './runs.ts';
import type { Surroundings } from './surroundings.ts';

/** A run whose claim has been gone for so long is lost. */
export const LOST_AFTER_MS = 45_000;
/** What ending a container may take, and clocks may differ: an attempt is over so long before another one may begin. */
const FENCE_MARGIN_MS = 15_000;
const LOOK_MS = 1_000;
/** Where there is no run: whoever makes one pokes. */
const REST_MS = 5_000;

/** Writes a claim and the run that it is of. */
export type CommitClaim = (writes: readonly Write[]) => Promise<Committed>;

/** A claim as this process wrote it. */
interface Held {
  readonly lease: string;
  readonly revision: number;
  /** By the steady clock: until then nobody can have seen it go. */
  readonly until: number;
}

export class OwnRuns {
  readonly #around: Surroundings;
  readonly #presence: Presence;
  readonly #onEnd: (over: RunValue | undefined) => void;
  readonly #attempts = new Map<string, Attempt>();
  readonly #held = new Map<string, Held>();
  /** Who is told what a run logs, for all its attempts here. */
  readonly #watchers = new Map<string, OnLogged>();
  readonly #running = new Set<Promise<void>>();
  /** Being claimed: their answer is under way. */
  readonly #taking = new Set<string>();
  /** Claims whose answer was lost: they may be this process's own. */
  readonly #unsure = new Set<string>();
  /** Since when a run has been there to be claimed, by attempt. */
  readonly #since = new Map<string, number>();
  #isLeaving = false;

  /** `onEnd`: an attempt is not in its hands any more; with the run, when that is over. */
  constructor(around: Surroundings, presence: Presence, onEnd: (over: RunValue | undefined) => void) {
    this.#around = around;
    this.#presence = presence;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#attempts.size + this.#taking.size;
  }

  /** This host, where it may claim runs now. */
  get candidate(): Candidate | undefined {
    const { mirror, session } = this.#around;
    const mayClaim = mirror.current && session.lease() !== undefined && !this.#presence.isTaken;
    return mayClaim ? { executor: this.#presence.executor, used: this.size } : undefined;
  }

  has(run: string, attempt?: number): boolean {
    const own = this.#attempts.get(run);
    if (attempt === undefined && this.#taking.has(run)) return true;
    return own !== undefined && (attempt === undefined || own.number === attempt);
  }

  async look(): Promise<number> {
    for (const attempt of this.#attempts.values()) attempt.look();
    this.#fence();
    const { mirror, session, view } = this.#around;
    const lease = session.lease();
    if (!mirror.current || lease === undefined) return LOOK_MS;
    await this.#keepClaims(lease);
    await settled(this.#orphans().map((run) => this.#adopt(run, lease)));
    if (this.#presence.isTaken) return LOOK_MS;
    const { runs, againInMs } = this.#chosen();
    await settled(runs.map((run) => this.#claim(run, lease)));
    const isIdle = view.runs.size === 0 && this.size === 0;
    return Math.min(isIdle ? REST_MS : LOOK_MS, againInMs ?? REST_MS);
  }

  /**
   * Makes a run that is not there yet, and claims it with that: `commit` writes it, with whatever else is to be written.
   * Answers whether that was done; then `onLogged` is told what it logs. undefined: this host may not take it, and nothing was tried.
   */
  async takeNew(run: RunValue, commit: CommitClaim, onLogged?: OnLogged): Promise<boolean | undefined> {
    const [me, lease] = [this.candidate, this.#around.session.lease()];
    if (me === undefined || lease === undefined || !canTake(run, me)) return undefined;
    if (onLogged !== undefined) this.#watchers.set(run.id, onLogged);
    let taken = false;
    try {
      taken = await this.#take(run, lease, commit);
      return taken;
    } catch (error) {
      this.#onEnd(undefined); // it may be this host's all the same: then it is looked for
      throw error;
    } finally {
      if (!taken) this.#watchers.delete(run.id);
    }
  }

  /** Lets go of all, and of what is claimed from now on. */
  leave(): void {
    this.#isLeaving = true;
    for (const attempt of this.#attempts.values()) attempt.leave();
  }

  /** Resolves when none is executed any more. */
  async left(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Without a claim that others can see, it may be theirs some time: then it is not to be under way here any more. */
  #fence(): void {
    const { session, clock, input } = this.#around;
    const [now, lease] = [clock.steady(), session.lease()];
    for (const [id, attempt] of this.#attempts) {
      const held = this.#held.get(id);
      if (held === undefined) continue;
      if (held.lease === lease) this.#held.set(id, { ...held, until: now + session.heldForMs() });
      else if (now - held.until > LOST_AFTER_MS - FENCE_MARGIN_MS && attempt.mayBeTriedAgain) {
        attempt.fence(
          `Host ${input.host} was cut off from the others, and ended it so that it can be tried again`,
        );
      }
    }
  }

  async #keepClaims(lease: string): Promise<void> {
    const { mirror, view, input } = this.#around;
    const keeping: Promise<void>[] = [];
    for (const [id, attempt] of this.#attempts) {
      const held = this.#held.get(id);
      const there = view.claims.get(id);
      const isStrange = there !== undefined && there.revision > (held?.revision ?? 0);
      if (isStrange && there.value.hostId === input.hostId && !this.#mayTake(id)) attempt.handOver();
      const isMissing = there === undefined && mirror.revision >= (held?.revision ?? 0);
      if (held?.lease !== lease || (isMissing && !attempt.isEnding))
        keeping.push(this.#keep(attempt, there, lease));
    }
    await settled(keeping);
  }

  async #keep(attempt: Attempt, there: Seen<ClaimValue> | undefined, lease: string): Promise<void> {
    const put = () => this.#putClaim(attempt.seen, there, lease);
    const revision = await this.#unlessLost(attempt.id, put);
    if (revision !== undefined) this.#hold(attempt.id, lease, revision);
    else attempt.doubt();
  }

  /** Runs that this host had in its hands, and nobody has now. */
  #orphans(): readonly Seen<RunValue>[] {
    const { view, input } = this.#around;
    return [...view.runs.values()].filter(({ value }) => {
      const isOurs = value.state === 'running' && value.host === input.host && value.hostId === input.hostId;
      if (!isOurs || this.has(value.id) || !this.#isWanted(value)) return false;
      const claim = view.claims.get(value.id)?.value;
      return claim === undefined || (claim.hostId === input.hostId && this.#mayTake(value.id));
    });
  }

  /** Whether a claim of this host that is not known here can be of nobody else that lives. */
  #mayTake(run: string): boolean {
    return this.#around.input.alone === true || this.#unsure.has(run);
  }

  async #adopt(run: Seen<RunValue>, lease: string): Promise<void> {
    const there = this.#around.view.claims.get(run.value.id);
    const put = () => this.#putClaim(run, there, lease);
    const revision = await this.#unlessLost(run.value.id, put);
    if (revision === undefined) return;
    this.#begin(run, lease, revision);
    this.#tell(run.value, 'found again');
  }

  /** Answers the revision; undefined: the run or its claim are not as they were seen. */
  async #putClaim(
    { value, revision: modRevision }: Seen<RunValue>,
    there: Seen<ClaimValue> | undefined,
    lease: string,
  ): Promise<number | undefined> {
    const { input, keys } = this.#around;
    const key = keys.jobs.claim(value.id);
    const asSeen = there === undefined ? { key, createRevision: 0 } : { key, modRevision: there.revision };
    const write = { kind: 'put', key, value: JSON.stringify(this.#claimOf(value)), lease } as const;
    const conditions = [{ key: keys.jobs.run(value.id), modRevision }, asSeen];
    const { done, revision } = await input.store.commit(conditions, [write]);
    return done ? revision : undefined;
  }

  #claimOf({ id, attempt }: RunValue): ClaimValue {
    const { host, hostId } = this.#around.input;
    return { format: 1, run: id, host, hostId, attempt };
  }

  #chosen(): { readonly runs: readonly Seen<RunValue>[]; readonly againInMs: number | undefined } {
    const { view, clock, input } = this.#around;
    if (input.only !== undefined) return this.#theOnly(input.only);
    const me: Candidate = { executor: this.#presence.executor, used: this.size };
    // One whose last attempt ends here still may be pending already: the answer to that write is under way.
    const pending = [...view.runs.values()].filter(
      ({ value }) => value.state === 'pending' && !this.has(value.id),
    );
    this.#forgetGone();
    if (pending.length === 0 || me.used >= me.executor.slots) return { runs: [], againInMs: undefined };
    const { claim, againInMs } = place({
      pending: pending.map(({ value }) => value).sort(inOrder),
      ...{ me, others: this.#presence.others() },
      isUnderWay: (run) => view.runs.has(run),
      waitedMs: (run) => this.#waitedMs(run),
      now: clock.wall(),
    });
    return { runs: claim.flatMap(({ id }) => view.runs.get(id) ?? []), againInMs };
  }

  #theOnly(id: string): { readonly runs: readonly Seen<RunValue>[]; readonly againInMs: number | undefined } {
    const { view, clock } = this.#around;
    const run = view.runs.get(id);
    if (run === undefined || this.has(id) || canRunOn(run.value, this.#presence.executor) !== undefined)
      return { runs: [], againInMs: undefined };
    const startMs = startsInMs(run.value, (other) => view.runs.has(other), clock.wall());
    return { runs: startMs === 0 ? [run] : [], againInMs: startMs };
  }

  #isWanted({ id }: RunValue): boolean {
    const { only } = this.#around.input;
    return only === undefined || only === id;
  }

  #waitedMs(run: RunValue): number {
    const [now, key] = [this.#around.clock.steady(), attemptKey(run)];
    const since = this.#since.get(key) ?? now;
    this.#since.set(key, since);
    return now - since;
  }

  #forgetGone(): void {
    if (this.#since.size <= this.#around.view.runs.size) return;
    const there = new Set([...this.#around.view.runs.values()].map(({ value }) => attemptKey(value)));
    for (const key of this.#since.keys()) if (!there.has(key)) this.#since.delete(key);
    for (const run of this.#unsure) if (!this.#around.view.runs.has(run)) this.#unsure.delete(run);
  }

  async #claim({ value: run, revision: modRevision }: Seen<RunValue>, lease: string): Promise<void> {
    const { input, keys } = this.#around;
    const conditions = [
      { key: keys.jobs.run(run.id), modRevision },
      { key: keys.jobs.claim(run.id), createRevision: 0 },
    ];
    await this.#take(run, lease, (writes) => input.store.commit(conditions, writes)); // or another host was first
  }

  /** Answers whether it was claimed. */
  async #take(run: RunValue, lease: string, commit: CommitClaim): Promise<boolean> {
    const { input, keys, clock } = this.#around;
    const value = claimed(run, { host: input.host, hostId: input.hostId, at: clock.wall() });
    const claim = JSON.stringify(this.#claimOf(value));
    this.#taking.add(run.id);
    try {
      const { done, revision } = await this.#unlessLost(run.id, () =>
        commit([
          { kind: 'put', key: keys.jobs.run(run.id), value: JSON.stringify(value) },
          { kind: 'put', key: keys.jobs.claim(run.id), value: claim, lease },
        ]),
      );
      if (!done) return false;
      this.#begin({ value, revision }, lease, revision);
    } finally {
      this.#taking.delete(run.id);
    }
    this.#tell(value, `claimed by ${input.host}`);
    return true;
  }

  async #unlessLost<T>(run: string, commit: () => Promise<T>): Promise<T> {
    try {
      return await commit();
    } catch (error) {
      if (isGantryError(error, 'cluster-unreachable')) this.#unsure.add(run);
      throw error;
    }
  }

  #begin(seen: Seen<RunValue>, lease: string, revision: number): void {
    const attempt = new Attempt(seen, this.#around, this.#watchers.get(seen.value.id));
    const { id } = attempt;
    this.#attempts.set(id, attempt);
    if (this.#isLeaving) attempt.leave();
    this.#hold(id, lease, revision);
    const running = attempt.run().then((over) => {
      this.#running.delete(running);
      this.#attempts.delete(id);
      this.#held.delete(id);
      if (over !== undefined) this.#watchers.delete(id);
      this.#onEnd(over);
    });
    this.#running.add(running);
  }

  #hold(run: string, lease: string, revision: number): void {
    const { clock, session } = this.#around;
    this.#unsure.delete(run);
    this.#held.set(run, { lease, revision, until: clock.steady() + session.heldForMs() });
  }

  #tell({ id, state, attempt }: RunValue, why: string): void {
    this.#around.tell({ kind: 'run-changed', run: id, state, attempt, why });
  }
}

/** First come, first served. */
function inOrder(a: RunValue, b: RunValue): number {
  if (a.at !== b.at) return a.at < b.at ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

function attemptKey({ id, attempt }: RunValue): string {
  return `${id}/${attempt}`;
}
