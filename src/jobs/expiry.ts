/**
 * What is not needed any more goes: records of runs that are kept no longer, what this host has on disk of runs that
 * nobody knows, containers of attempts that are not this host's any more, and the secrets that were placed for them.
 * Never anything of an attempt under way.
 */
import { type RunValue, readRun } from '../cluster/job-values.ts';
import type { JobContainer } from '../docker/job-engine.ts';
import { removeRunFolder, runFolder, runsOnDisk } from './disk/run-folder.ts';
import { expired } from './expired.ts';
import type { OwnRuns } from './own-runs.ts';
import type { Presence } from './presence.ts';
import { settled } from './rounds.ts';
import { spread } from './spread.ts';
import type { Surroundings } from './surroundings.ts';

const LOOK_MS = 60_000;
/** Each folder is asked for: a host may have thousands. */
const FOLDERS_EVERY_MS = 10 * 60_000;
/** The more records there are, the more seldom they are looked through. */
const MS_FOR_EACH_RECORD = 100;
const MAX_RECORDS_MS = 10 * 60_000;
/** Who follows a run that is not kept may read its end. */
const READ_WITHIN_MS = 10_000;
/** etcd takes 128 operations in a transaction. */
const MOST_DELETES = 100;

export class Expiry {
  readonly #around: Surroundings;
  readonly #presence: Presence;
  readonly #own: OwnRuns;
  #foldersAt = Number.NEGATIVE_INFINITY;
  /** They are not looked through before. */
  #recordsAt = Number.NEGATIVE_INFINITY;
  /** Folders of no known run at the last look: their run may be about to be made. */
  #strange: ReadonlySet<string> = new Set();
  /** Runs of which nothing is kept, and when they go, by the steady clock. */
  readonly #forgotten = new Map<string, number>();

  constructor(around: Surroundings, presence: Presence, own: OwnRuns) {
    this.#around = around;
    this.#presence = presence;
    this.#own = own;
  }

  /** The run is over; goes with the next looks when its job keeps nothing. */
  over(run: RunValue): void {
    if (run.job.remove) this.#forgotten.set(run.id, this.#around.clock.steady() + READ_WITHIN_MS);
  }

  async look(): Promise<number> {
    const { mirror } = this.#around;
    if (!mirror.current) return LOOK_MS;
    const parts = [this.#containers(), this.#records(), this.#folders(), this.#forget()];
    await settled(parts).catch(this.#around.tellTrouble); // the next look is soon enough
    return this.#forgotten.size > 0 ? READ_WITHIN_MS : LOOK_MS;
  }

  /** What is to be forgotten goes now. */
  async close(): Promise<void> {
    for (const id of this.#forgotten.keys()) await this.#removeFolder(id);
    this.#forgotten.clear();
  }

  async #containers(): Promise<void> {
    const { engine, project, hostId, secretFiles } = this.#around.input;
    const kept: string[] = [];
    for (const container of await engine.jobContainers({ project, host: hostId })) {
      if (await this.#isLeftOver(container)) await engine.remove(container.id);
      else kept.push(container.name);
    }
    await secretFiles.keepOnly(kept);
  }

  /** The store itself is asked: another process of this host may have claimed the run just now. */
  async #isLeftOver({ run: id, attempt }: JobContainer): Promise<boolean> {
    if (this.#own.has(id, attempt)) return false;
    const { input, keys } = this.#around;
    const entry = await input.store.get(keys.jobs.run(id));
    const run = readRun(entry);
    // One that cannot be read was written by a newer gantryd: no reason to end it.
    if (entry !== undefined && run === undefined) return false;
    const isOurs = run?.state === 'running' && run.hostId === input.hostId && run.attempt === attempt;
    return !isOurs && !this.#own.has(id, attempt);
  }

  /** One host looks through all of them. */
  async #records(): Promise<void> {
    const { input, keys, view, clock } = this.#around;
    if (clock.steady() < this.#recordsAt) return;
    const order = (host: string) => spread('expiry', host);
    const others = this.#presence.others().map(({ executor }) => executor.host);
    if (others.some((host) => order(host) < order(input.host))) return;
    const { entries } = await input.store.list(keys.allEnded());
    this.#recordsAt = clock.steady() + Math.min(MAX_RECORDS_MS, entries.length * MS_FOR_EACH_RECORD);
    const ended = entries.flatMap((entry) => readRun(entry) ?? []);
    const gone = expired({ ended, hasSchedule: (name) => view.schedules.has(name), now: clock.wall() });
    const revisions = new Map(entries.map(({ key, modRevision }) => [key, modRevision]));
    for (let from = 0; from < gone.length; from += MOST_DELETES) {
      const some = gone.slice(from, from + MOST_DELETES).map(({ id }) => keys.ended(id));
      await input.store.commit(
        some.map((key) => ({ key, modRevision: revisions.get(key) ?? 0 })),
        some.map((key) => ({ kind: 'delete', key })),
      );
    }
  }

  async #folders(): Promise<void> {
    const { input, clock } = this.#around;
    if (clock.steady() - this.#foldersAt < FOLDERS_EVERY_MS) return;
    this.#foldersAt = clock.steady();
    const strange = new Set<string>();
    for (const id of await runsOnDisk(input.stateDir, input.project)) {
      if (this.#own.has(id) || (await this.#isKnown(id))) continue;
      if (this.#strange.has(id)) await this.#removeFolder(id);
      else strange.add(id);
    }
    this.#strange = strange;
  }

  /** In this order: a run that ends in between is found as ended. */
  async #isKnown(id: string): Promise<boolean> {
    const { input, keys } = this.#around;
    if ((await input.store.get(keys.jobs.run(id))) !== undefined) return true;
    return (await input.store.get(keys.ended(id))) !== undefined;
  }

  async #forget(): Promise<void> {
    const now = this.#around.clock.steady();
    for (const [id, at] of this.#forgotten) {
      if (at > now) continue;
      await this.#removeFolder(id);
      this.#forgotten.delete(id);
    }
  }

  async #removeFolder(id: string): Promise<void> {
    const { stateDir, project } = this.#around.input;
    await removeRunFolder(runFolder(stateDir, project, id));
  }
}
