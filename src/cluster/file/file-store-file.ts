/**
 * The file of a file store: read without a lock, since it is replaced whole; changed under one, many changes at a time
 * when they come together. Leases that have ended are dropped, with their keys, by whoever reads or changes next.
 *
 * Every change is on the disk, folder and all, before it is answered: runs and schedules were promised to somebody.
 * That is less than what starting flock(1) costs where the disk has no moving parts.
 */
import type { BigIntStats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, removeTemporaries, writeDurably } from '../../durable-file.ts';
import { codeOf, GantryError, isGantryError, messageOf } from '../../errors.ts';
import { withLock } from '../../lock.ts';
import { isGone, sharedNow } from './file-store-process.ts';
import { Draft, EMPTY, holding, type State, stateOf, textOf } from './file-store-state.ts';

export const FILE = 'store.json';
const LOCK = 'store.lock';
/** Others hold the lock for milliseconds. */
const LOCK_TIMEOUT_MS = 10_000;
/** Changes made at once: what bounds how long one waits for those before it. */
const MAX_BATCH = 200;
/** After ended leases could not be dropped: a disk that is full is not asked at every look. */
const SWEEP_RETRY_MS = 5000;

/** What was read, with the file it was read from held open: its number is given to no other file meanwhile. */
interface Held {
  readonly file: FileHandle;
  readonly stats: BigIntStats;
  readonly state: State;
}

interface Waiting {
  /** Synchronous; it changes nothing when it throws. */
  readonly change: (draft: Draft) => void;
  readonly reject: (error: unknown) => void;
  /** Once it is on the disk. */
  readonly written: () => void;
}

export class StoreFile {
  readonly folder: string;
  readonly #path: string;
  readonly #onWritten: () => void;
  readonly #waiting: Waiting[] = [];
  /** Leases of this process that were closed, which the file may still have. */
  readonly #closedLeases = new Set<string>();
  #closed = false;
  #changing: Promise<void> | undefined;
  #held: Held | undefined;
  #prepared = false;
  #sweepAfter = 0;

  /** `onWritten`: after each change of this process. */
  constructor(folder: string, onWritten: () => void) {
    this.folder = folder;
    this.#path = join(folder, FILE);
    this.#onWritten = onWritten;
  }

  /** As it is, without the keys of leases that have ended. state-dir when it cannot be read or is damaged. */
  async read(): Promise<State> {
    const state = await this.#load();
    if (!holding(state, this.#ended(state))) return state;
    await this.#sweep();
    const swept = await this.#load();
    const ended = this.#ended(swept);
    return holding(swept, ended) ? without(swept, ended) : swept;
  }

  /** Answers what `change` does, once it is on the disk. locked, state-dir, state-write, and what it throws. */
  change<T>(change: (draft: Draft) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      let answer: T;
      const make = (draft: Draft) => {
        answer = change(draft);
      };
      this.#waiting.push({ change: make, reject, written: () => resolve(answer) });
      this.#changing ??= this.#changeAll();
    });
  }

  /** From now on it has ended, though the file may not say so yet. */
  noteClosed(lease: string): void {
    this.#closedLeases.add(lease);
  }

  isClosed(lease: string): boolean {
    return this.#closedLeases.has(lease);
  }

  /** After the changes that were asked for. */
  async close(): Promise<void> {
    while (this.#changing !== undefined) await this.#changing;
    this.#closed = true;
    await this.#hold(undefined);
  }

  async #changeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH);
      try {
        await this.#prepare();
        const made = await withLock(join(this.folder, LOCK), { timeoutMs: LOCK_TIMEOUT_MS }, () =>
          this.#make(batch),
        );
        for (const { written } of made) written();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#changing = undefined;
  }

  /** Those that did not throw. */
  async #make(batch: readonly Waiting[]): Promise<readonly Waiting[]> {
    await this.#tidy();
    const state = await this.#load();
    const draft = new Draft(state);
    draft.end(this.#ended(state));
    const made = batch.filter((waiting) => isMade(waiting, draft));
    if (draft.changed) await this.#write(draft.state());
    return made;
  }

  async #write(state: State): Promise<void> {
    await writeDurably(this.#path, textOf(state));
    await this.#hold(await opened(this.#path, async () => state));
    for (const id of this.#closedLeases) if (!state.leases.has(id)) this.#closedLeases.delete(id);
    this.#onWritten();
  }

  async #load(): Promise<State> {
    const stats = await statsOf(this.#path);
    const held = this.#held;
    if (stats === undefined) return EMPTY;
    if (held !== undefined && isSame(held.stats, stats)) return held.state;
    const read = await opened(
      this.#path,
      async (file) => stateOf(await file.readFile('utf8')) ?? damaged(this.#path),
    );
    await this.#hold(read);
    return read?.state ?? EMPTY;
  }

  async #hold(held: Held | undefined): Promise<void> {
    const before = this.#held;
    this.#held = this.#closed ? undefined : held;
    await before?.file.close();
    if (this.#closed) await held?.file.close();
  }

  /** What cannot be written now is tried again later, and is not shown meanwhile. */
  async #sweep(): Promise<void> {
    if (sharedNow() < this.#sweepAfter) return;
    try {
      await this.change(() => {});
    } catch (error) {
      if (!isGantryError(error, 'state-write') && !isGantryError(error, 'locked')) throw error;
      this.#sweepAfter = sharedNow() + SWEEP_RETRY_MS;
    }
  }

  #ended({ leases }: State): ReadonlySet<string> {
    const ended = [...leases.values()].filter(
      ({ id, process, endsAt }) =>
        this.#closedLeases.has(id) || (endsAt !== undefined && endsAt <= sharedNow()) || isGone(process),
    );
    return new Set(ended.map(({ id }) => id));
  }

  async #prepare(): Promise<void> {
    if (this.#prepared) return;
    await makeFolder(this.folder).catch((error: unknown) => {
      throw unusable(`cannot make the folder ${this.folder}: ${messageOf(error)}`, error);
    });
  }

  /** Once, under the lock: what processes left that were killed while they wrote. */
  async #tidy(): Promise<void> {
    if (this.#prepared) return;
    await removeTemporaries(this.#path);
    this.#prepared = true;
  }
}

function isMade({ change, reject }: Waiting, draft: Draft): boolean {
  try {
    change(draft);
    return true;
  } catch (error) {
    reject(error);
    return false;
  }
}

/** undefined: there is none. */
async function opened(
  path: string,
  stateIn: (file: FileHandle) => Promise<State>,
): Promise<Held | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const stats = await file.stat({ bigint: true });
    return { file, stats, state: await stateIn(file) };
  } catch (error) {
    await file?.close();
    return absent(path, error);
  }
}

async function statsOf(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    return absent(path, error);
  }
}

/** Size and time tell a file that somebody has edited. */
function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

function without(state: State, leases: ReadonlySet<string>): State {
  const draft = new Draft(state);
  draft.end(leases);
  return { ...draft.state(), revision: state.revision };
}

function absent(path: string, error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined;
  if (isGantryError(error)) throw error;
  throw unusable(`cannot read ${path}: ${messageOf(error)}`, error);
}

function damaged(path: string): never {
  throw new GantryError(
    'state-dir',
    `${path} is damaged, or was written by a newer gantryd: it is left as it is`,
    {
      hint: 'Bring back a copy of it. Moved away, it is begun anew, without the schedules, secrets and runs it had.',
    },
  );
}

function unusable(message: string, cause: unknown): GantryError {
  const hint = 'See that the state directory can be used, or choose another one with --state-dir.';
  return new GantryError('state-dir', message, { hint, cause });
}
