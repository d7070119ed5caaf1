/**
 * One attempt of one run in this host's hands: executes it, writes how far it is and how it ended, each in a transaction
 * that compares the run's revision. What runs goes on while the store is away, and its end is written when it is back.
 * It is stopped when somebody cancels it, or when the store says that the run is not this host's any more.
 */
import { type RunEnd, type RunValue, readRun, type StepStatus } from '../cluster/job-values.ts';
import { GantryError } from '../errors.ts';
import type { OnLogged } from './disk/run-log-writer.ts';
import { rest } from './job-clock.ts';
import type { Seen } from './jobs-view.ts';
import { Rounds } from './rounds.ts';
import { cancelledEnd, ended, endWrites, isOver, withSteps } from './runs.ts';
import type { Surroundings } from './surroundings.ts';

/** Before the first write of how far a run is, and between two: at most five a second, and none of one that soon ends. */
const STEPS_PAUSE_MS = 200;
/** Nothing is to be written until something changes. */
const IDLE_MS = 60_000;
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 10_000;

/** What the store says of the run, to whom has it in his hands. */
type Standing = 'mine' | 'over' | 'gone';

export class Attempt {
  readonly id: string;
  readonly number: number;
  readonly #around: Surroundings;
  readonly #onLogged: OnLogged | undefined;
  readonly #cancelled = new AbortController();
  readonly #left = new AbortController();
  readonly #writer: Rounds;
  /** Aborted once it has ended: nothing but the end is written from then on. */
  readonly #over = new AbortController();
  #seen: Seen<RunValue>;
  #steps: readonly StepStatus[] | undefined;
  #stepsAt: number;
  #doubted = false;
  /** Its end is not to be written: it is not this host's to tell. */
  #dropped = false;
  /** Why it was ended so that another attempt may begin elsewhere. */
  #lost: string | undefined;
  /** The answer to the write of its end was lost: it may be written. */
  #mayBeWritten = false;

  /** `seen`: as claimed by this host. */
  constructor(seen: Seen<RunValue>, around: Surroundings, onLogged?: OnLogged) {
    this.id = seen.value.id;
    this.number = seen.value.attempt;
    this.#seen = seen;
    this.#around = around;
    this.#onLogged = onLogged;
    this.#stepsAt = around.clock.steady();
    const look = () => this.#write();
    this.#writer = new Rounds({ look, clock: around.clock, onTrouble: around.tellTrouble });
    this.#heedCancel();
  }

  /** As it was last known to be in the store. */
  get seen(): Seen<RunValue> {
    return this.#seen;
  }

  /** Nothing is left of it but to be written: its claim may be gone with that. */
  get isEnding(): boolean {
    return this.#over.signal.aborted;
  }

  get mayBeTriedAgain(): boolean {
    const { value } = this.#seen;
    return value.attempt <= value.job.retries && value.cancel === undefined;
  }

  /**
   * Until it has ended and that was written, or it was left, or it is somebody else's. Answers the run when it is over by
   * that. Never rejects.
   */
  async run(): Promise<RunValue | undefined> {
    const writing = this.#writer.run(this.#over.signal);
    const end = await this.#executed();
    this.#over.abort();
    await writing;
    const written = end === undefined ? undefined : await this.#finish(this.#told(end));
    return written !== undefined && isOver(written) ? written : undefined;
  }

  /** The mirror may know more of it. */
  look(): void {
    const { view, mirror } = this.#around;
    // It may be behind what was written here; a store that went back is met by the next write.
    if (!mirror.current || mirror.revision < this.#seen.revision) return;
    const there = view.runs.get(this.id);
    if (there?.revision === this.#seen.revision) return;
    if (there !== undefined && there.revision > this.#seen.revision && this.#isMine(there.value)) {
      this.#know(there);
    } else this.doubt();
  }

  /** The store may have it otherwise than it is known here: it is asked. */
  doubt(): void {
    if (this.#dropped) return;
    this.#doubted = true;
    this.#writer.poke();
  }

  /** Lets go of it; whoever runs jobs here next finds it. */
  leave(): void {
    this.#left.abort();
  }

  /** Another process of this host goes on with it. */
  handOver(): void {
    this.#dropped = true;
    this.leave();
  }

  /** Ends it, so that another host may begin the next attempt. */
  fence(why: string): void {
    if (this.#cancelled.signal.aborted) return;
    this.#lost = why;
    this.#cancelled.abort(why);
  }

  /** Tried again for as long as it is not the run's own fault that it cannot be executed. */
  async #executed(): Promise<RunEnd | undefined> {
    for (let failures = 0; !this.#left.signal.aborted; failures++) {
      try {
        const end = await this.#around.input.execute(this.#executionInput());
        if (end !== undefined) return end;
      } catch (error) {
        this.#around.tellTrouble(error);
        const end = await this.#abandoned().catch(this.#around.tellTrouble);
        if (end !== undefined) return end;
      }
      await rest(this.#around.clock, pauseMs(failures), this.#left.signal);
    }
    return undefined;
  }

  /** Of one that cannot be executed, as on a full disk, and is not to go on either. */
  async #abandoned(): Promise<RunEnd | undefined> {
    if (!this.#cancelled.signal.aborted || this.#left.signal.aborted) return undefined;
    const { engine, project, hostId } = this.#around.input;
    const containers = await engine.jobContainers({ project, host: hostId, run: this.id });
    for (const { id } of containers) await engine.remove(id);
    return { ...cancelledEnd(this.#seen.value), why: String(this.#cancelled.signal.reason) };
  }

  #executionInput() {
    const { project, host, hostId, stateDir, engine, secrets, secretFiles, onPrinted } = this.#around.input;
    return {
      ...{ run: this.#seen.value, project, host, hostId, stateDir, engine, secrets, secretFiles },
      ...(onPrinted === undefined ? {} : { onPrinted }),
      onLogged: this.#onLogged,
      onSteps: (steps: readonly StepStatus[]) => this.#changed(steps),
      cancelled: this.#cancelled.signal,
      left: this.#left.signal,
      now: this.#around.clock.wall,
    };
  }

  #changed(steps: readonly StepStatus[]): void {
    this.#steps = steps;
    this.#writer.poke();
  }

  /** One round of the writer: asks the store when in doubt, writes the steps when it is time to. */
  async #write(): Promise<number> {
    if (this.#doubted && (await this.#ask()) !== 'mine') return IDLE_MS;
    const steps = this.#steps;
    if (steps === undefined || this.#dropped) return IDLE_MS;
    const pause = this.#stepsAt + STEPS_PAUSE_MS - this.#around.clock.steady();
    if (pause > 0) return this.#rested(pause);
    this.#stepsAt = this.#around.clock.steady();
    if (await this.#put(withSteps(this.#seen.value, steps))) {
      if (this.#steps === steps) this.#steps = undefined;
      return this.#steps === undefined ? IDLE_MS : STEPS_PAUSE_MS;
    }
    this.#doubted = true;
    return 0;
  }

  /** Not cut short by more news. */
  async #rested(ms: number): Promise<number> {
    await rest(this.#around.clock, ms, this.#over.signal);
    return 0;
  }

  async #put(value: RunValue): Promise<boolean> {
    const { input, keys } = this.#around;
    const key = keys.jobs.run(this.id);
    const { done, revision } = await input.store.commit(
      [{ key, modRevision: this.#seen.revision }],
      [{ kind: 'put', key, value: JSON.stringify(value) }],
    );
    if (done) this.#know({ value, revision });
    return done;
  }

  /** What the store itself says; a run that is not this host's any more is stopped, and one that nobody knows goes on. */
  async #ask(): Promise<Standing> {
    const { input, keys } = this.#around;
    this.#doubted = false;
    const entry = await input.store.get(keys.jobs.run(this.id));
    const value = readRun(entry);
    if (entry !== undefined && value !== undefined && this.#isMine(value)) {
      this.#know({ value, revision: entry.modRevision });
      return 'mine';
    }
    // One that cannot be read was written by a newer gantryd: no reason to stop it.
    const isOver = value !== undefined || (await input.store.get(keys.ended(this.id))) !== undefined;
    this.#dropped = true;
    if (isOver) this.fence(`attempt ${this.number} was taken from ${input.host}`);
    return isOver ? 'over' : 'gone';
  }

  #isMine(value: RunValue): boolean {
    const { host, hostId } = this.#around.input;
    const isHere = value.host === host && value.hostId === hostId;
    return value.state === 'running' && value.attempt === this.number && isHere;
  }

  #know(seen: Seen<RunValue>): void {
    this.#seen = seen;
    this.#dropped = false;
    this.#heedCancel();
  }

  #heedCancel(): void {
    const { value } = this.#seen;
    if (value.cancel !== undefined) this.#cancelled.abort(cancelledEnd(value).why);
  }

  /** The end as it is to be told: whoever stopped it knows best why. */
  #told(end: RunEnd): RunEnd {
    if (end.kind !== 'cancelled') return end;
    const { value } = this.#seen;
    if (value.cancel !== undefined) return { ...end, why: cancelledEnd(value, end.step).why };
    return this.#lost === undefined ? end : { ...end, kind: 'lost', exitCode: 1, why: this.#lost };
  }

  /** Until it is written, however long the store is away; or until it is known not to be this host's to tell. */
  async #finish(end: RunEnd): Promise<RunValue | undefined> {
    for (let failures = 0; !this.#dropped; failures++) {
      try {
        const written = await this.#writeEnd(end);
        if (written !== undefined) return written;
      } catch (error) {
        this.#doubted = true;
        this.#mayBeWritten = true;
        this.#around.tellTrouble(error);
        if (this.#left.signal.aborted) return undefined; // whoever comes next executes it again, and finds it ended
        await rest(this.#around.clock, pauseMs(failures), this.#left.signal);
      }
    }
    if (!this.#mayBeWritten) this.#around.tellTrouble(notTold(this.id, this.#around.input.host));
    return undefined;
  }

  async #writeEnd(end: RunEnd): Promise<RunValue | undefined> {
    if (this.#doubted && (await this.#ask()) !== 'mine') return undefined;
    const { input, keys, clock } = this.#around;
    const { kind, run } = ended(this.#newest(), end, clock.wall());
    const key = keys.jobs.run(this.id);
    const again = [
      { kind: 'put', key, value: JSON.stringify(run) } as const,
      { kind: 'delete', key: keys.jobs.claim(this.id) } as const,
    ];
    const writes = kind === 'again' ? again : endWrites(keys, run);
    const { done } = await input.store.commit([{ key, modRevision: this.#seen.revision }], writes);
    if (done) this.#tell(run, end);
    else this.#doubted = true;
    return done ? run : undefined;
  }

  /** With the steps that there was no time to write. */
  #newest(): RunValue {
    const { value } = this.#seen;
    return this.#steps === undefined ? value : withSteps(value, this.#steps);
  }

  #tell(run: RunValue, end: RunEnd): void {
    const why = run.state === 'pending' ? `attempt ${this.number} failed: ${end.why}` : end.why;
    this.#around.tell({ kind: 'run-changed', run: this.id, state: run.state, attempt: this.number, why });
  }
}

function pauseMs(failures: number): number {
  return Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(failures, 10));
}

function notTold(run: string, host: string): GantryError {
  return new GantryError(
    'run-unknown',
    `How ${run} ended on ${host} was not written: the run is not its any more`,
    {
      hint: 'Its host was thought to be lost, or the store was restored to an older state; see: job show.',
    },
  );
}
