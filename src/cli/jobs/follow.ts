/**
 * Follows a run to its end, wherever it is executed: tells what it prints as it comes, once each, across restarts of its
 * host and from one attempt to the next, gives it the input it waits for, and says what it waits for itself.
 */
import type { Readable } from 'node:stream';
import type { RunFiles } from '../../api/jobs/job-server.ts';
import { type RunValue, readRun } from '../../cluster/job-values.ts';
import { isGantryError } from '../../errors.ts';
import type { ReadEntry } from '../../jobs/disk/run-log.ts';
import { cancelRun, findRun, listExecutors } from '../../jobs/intents/intents.ts';
import { whyPending } from '../../jobs/intents/waiting.ts';
import { isOver } from '../../jobs/runs.ts';
import { Poke, pause } from '../../poke.ts';
import type { RunInputSource } from './input.ts';
import type { Place } from './place.ts';
import type { Sink } from './sink.ts';

/** Hints that its record changed may be missed. */
const LOOK_AGAIN_MS = 2_000;
/** A run that has just begun has its log soon. */
const SOON_MS = 100;
/** Between two tries to reach the host that has its log. */
const RETRY_MS = 500;
/** What is said about a wait is said when it lasts. */
const PATIENCE_MS = 3_000;
/** For the rest of the log of a run that is over, when its host does not answer; one that is lost was waited for. */
const LAST_WAIT_MS = 10_000;

const SPENT = 'its input came from a pipe, and was lost on the way to its host';

export interface Followed {
  readonly place: Place;
  readonly run: RunValue;
  readonly sink: Sink;
  /** Of a run whose input is to be uploaded. */
  readonly input?: RunInputSource;
  /** Begins with its last so many entries. */
  readonly tail?: number;
  /** Only what was printed since, as an ISO time. */
  readonly since?: string;
  /** Where in its log: as it was told. */
  readonly from?: string;
  /** Called with each place in its log up to which all was told. */
  readonly onTold?: (position: string) => Promise<void> | void;
  /** What it logs is told otherwise. */
  readonly isTold?: boolean;
  /** Only until its host has its input. */
  readonly untilFed?: boolean;
}

/** Its record at the end; undefined: aborted before. run-unknown when somebody removed it meanwhile. */
export async function followRun(followed: Followed, signal: AbortSignal): Promise<RunValue | undefined> {
  const poke = new Poke();
  const { fleet } = followed.place;
  const key = fleet.keys.project(fleet.project).jobs.run(followed.run.id);
  const follower = new Follower(followed, signal);
  const onChange = () => {
    if (mirror.current) follower.heed(readRun(mirror.entries.get(key)));
    poke.poke();
  };
  const mirror = fleet.store.follow({ range: { from: key, to: `${key}\0` }, onChange });
  try {
    while (!signal.aborted) {
      poke.clear();
      const { run, againInMs } = await follower.look();
      if (run !== undefined && (isOver(run) || follower.isDone)) return run;
      await poke.wait(againInMs, signal);
    }
    return undefined;
  } finally {
    mirror.close();
  }
}

class Follower {
  readonly #followed: Followed;
  readonly #signal: AbortSignal;
  /** Where its log goes on, on the host of that id. */
  #hostId = '';
  #position = '';
  /** The attempt whose input was given. */
  #fed = 0;
  #pendingSince = performance.now();
  #said = '';
  /** The attempt whose log is followed, and what ends that. */
  #reading: { readonly attempt: number; readonly left: AbortController } | undefined;
  /** The newest attempt that is known to be over, though its log may never say so: another one follows it. */
  #overUntil = 0;

  constructor(followed: Followed, signal: AbortSignal) {
    this.#followed = followed;
    this.#signal = signal;
    this.#position = followed.from ?? '';
    if (followed.from !== undefined) this.#hostId = followed.place.box?.hostId ?? followed.run.hostId ?? '';
  }

  get isDone(): boolean {
    return this.#followed.untilFed === true && this.#fed > 0;
  }

  /** The record as it is while it is not over; undefined: it is. */
  heed(run: RunValue | undefined): void {
    const isUnderWay = run?.state === 'running';
    this.#overUntil = run === undefined ? Number.POSITIVE_INFINITY : run.attempt - (isUnderWay ? 1 : 0);
    if (this.#reading !== undefined && this.#reading.attempt <= this.#overUntil) this.#reading.left.abort();
  }

  /** The record, once all that it printed so far was told, and when to look again; undefined: not known now. */
  async look(): Promise<{ readonly run: RunValue | undefined; readonly againInMs: number }> {
    const run = await this.#record();
    if (run?.state === 'pending') await this.#tellWait(run);
    if (run === undefined || run.state === 'pending') return { run, againInMs: LOOK_AGAIN_MS };
    this.#pendingSince = performance.now();
    if (!isOver(run) && !(await this.#feed(run))) return { run, againInMs: RETRY_MS };
    const isNowhere = run.hostId === undefined; // cancelled before it was begun, or begun again
    if (this.#followed.untilFed === true || this.#followed.isTold === true || isNowhere)
      return { run, againInMs: LOOK_AGAIN_MS };
    return { run, againInMs: await this.#tellLog(run) };
  }

  /** etcd may be away for a while: what runs goes on. */
  async #record(): Promise<RunValue | undefined> {
    try {
      return await findRun(this.#followed.place.fleet, this.#followed.run.id);
    } catch (error) {
      if (!isGantryError(error) || !error.retryable) throw error;
      this.#say(error.message);
      return undefined;
    }
  }

  async #tellWait(run: RunValue): Promise<void> {
    if (performance.now() - this.#pendingSince < PATIENCE_MS) return;
    const { fleet, box } = this.#followed.place;
    const executors = box === undefined ? await listExecutors(fleet) : undefined;
    this.#say(`${run.id} is waiting: ${whyPending(run, executors, fleet.now())}`);
  }

  /** Gives it its input, once for each attempt. False: its host could not take it yet. */
  async #feed(run: RunValue): Promise<boolean> {
    const { input, place } = this.#followed;
    if (input === undefined || run.input.kind !== 'upload' || this.#fed === run.attempt) return true;
    const bytes = input.open();
    const why = bytes === undefined ? SPENT : await this.#uploaded(run, bytes);
    if (why === undefined) return false;
    this.#fed = run.attempt;
    if (why !== '') await cancelRun(place.fleet, run.id, why);
    return true;
  }

  /** '': it has it. undefined: not yet. Anything else is why it never will. */
  async #uploaded(run: RunValue, bytes: Readable): Promise<string | undefined> {
    try {
      await (await this.#followed.place.files(run)).input(run.id, bytes, this.#signal);
      return '';
    } catch (error) {
      bytes.destroy();
      if (!isGantryError(error) || this.#signal.aborted) throw error;
      if (error.code !== 'run-unknown') this.#say(error.message);
      return error.retryable ? undefined : error.message;
    }
  }

  /** All there is of its log: while it is under way, until that ends. Answers when to look again. */
  async #tellLog(run: RunValue): Promise<number> {
    if (this.#hostId !== run.hostId) [this.#hostId, this.#position] = [run.hostId ?? '', ''];
    const end = performance.now() + (isOver(run) && run.state !== 'lost' ? LAST_WAIT_MS : 0);
    for (;;) {
      try {
        await this.#copyLog(await this.#followed.place.files(run), run);
        return LOOK_AGAIN_MS;
      } catch (error) {
        if (!isGantryError(error, 'output-gone')) throw error;
        if (!error.retryable) return SOON_MS;
        this.#say(error.message);
        if (performance.now() >= end || this.#signal.aborted) return RETRY_MS;
        await pause(RETRY_MS, this.#signal);
      }
    }
  }

  /** To its end, which it may lack: then until the record says that the attempt is over. */
  async #copyLog(files: RunFiles, run: RunValue): Promise<void> {
    const isFollowed = !isOver(run) && run.attempt > this.#overUntil;
    if (isFollowed && (await this.#copyWhileUnderWay(files, run))) return;
    await this.#copy(files.log(run.id, { follow: false, ...this.#begin() }, this.#signal));
  }

  /** False: there may be more of it. */
  async #copyWhileUnderWay(files: RunFiles, { id, attempt }: RunValue): Promise<boolean> {
    const left = new AbortController();
    this.#reading = { attempt, left };
    try {
      const signal = AbortSignal.any([this.#signal, left.signal]);
      await this.#copy(files.log(id, { follow: true, ...this.#begin() }, signal));
    } catch (error) {
      if (!left.signal.aborted) throw error;
    } finally {
      this.#reading = undefined;
    }
    return !left.signal.aborted;
  }

  #begin(): { readonly from?: string; readonly tail?: number } {
    const { tail } = this.#followed;
    if (this.#position !== '') return { from: this.#position };
    return tail === undefined ? {} : { tail };
  }

  async #copy(log: AsyncIterable<ReadEntry>): Promise<void> {
    for await (const { entry, next } of log) {
      if (entry.time >= (this.#followed.since ?? '')) await this.#followed.sink.entry(entry);
      this.#position = next;
      await this.#followed.onTold?.(next);
      this.#said = '';
      if (this.#signal.aborted) return;
    }
  }

  /** Once, until there is something else to say. */
  #say(words: string): void {
    if (this.#said === words) return;
    this.#said = words;
    this.#followed.sink.note(words);
  }
}
