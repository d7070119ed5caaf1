/**
 * The store of one box: the contract of store.ts kept with one file, for several processes of one machine. All or
 * nothing whoever is killed, since the file is replaced whole and under a lock; a lease holds for as long as the process
 * that has it lives. Errors: those of files (state-dir, state-write, locked) in place of those of a network.
 */
import { GantryError, messageOf } from '../../errors.ts';
import type {
  Committed,
  Condition,
  Entry,
  FollowOptions,
  Listing,
  Mirror,
  Range,
  Session,
  SessionOptions,
  Store,
  Write,
} from '../store.ts';
import { StoreFile } from './file-store-file.ts';
import { FileMirror } from './file-store-mirror.ts';
import { FileSession } from './file-store-session.ts';
import { entryOf, type Lease, listingOf, type State } from './file-store-state.ts';
import { FileWatch } from './file-store-watch.ts';

/** The folder is made when something is written. Nothing is read or written yet. */
export function openFileStore(folder: string): Store {
  return new FileStore(folder);
}

class FileStore implements Store {
  readonly #file: StoreFile;
  readonly #watch: FileWatch;
  readonly #mirrors = new Set<FileMirror>();
  readonly #sessions = new Set<FileSession>();
  #closing: Promise<void> | undefined;

  constructor(folder: string) {
    this.#file = new StoreFile(folder, () => this.#watch.poke());
    this.#watch = new FileWatch(folder, () => this.#look());
  }

  async get(key: string): Promise<Entry | undefined> {
    return entryOf(await this.#read(), key);
  }

  async list(range: Range, limit?: number): Promise<Listing> {
    const listing = listingOf(await this.#read(), range);
    return { ...listing, entries: listing.entries.slice(0, limit) };
  }

  async count(range: Range): Promise<number> {
    return (await this.list(range)).entries.length;
  }

  async commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> {
    this.#refuseClosed();
    const granted = this.#granted(writes);
    const committed = await this.#file.change((draft) => draft.commit(conditions, writes, granted));
    if (committed.done) this.#entered(granted, committed.revision);
    return committed;
  }

  session(options: SessionOptions): Session {
    this.#refuseClosed();
    const session: FileSession = new FileSession(this.#file, options, () => this.#ended(session));
    this.#sessions.add(session);
    return session;
  }

  follow(options: FollowOptions): Mirror {
    this.#refuseClosed();
    const mirror: FileMirror = new FileMirror(options, () => {
      this.#mirrors.delete(mirror);
      this.#rest();
    });
    this.#mirrors.add(mirror);
    this.#watch.start();
    return mirror;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#watch.stop();
    for (const mirror of [...this.#mirrors]) mirror.close();
    await Promise.all([...this.#sessions].map((session) => session.close()));
    await this.#file.close();
  }

  async #look(): Promise<void> {
    try {
      const state = await this.#file.read();
      for (const session of [...this.#sessions]) session.show(state);
      for (const mirror of [...this.#mirrors]) mirror.show(state);
    } catch (error) {
      for (const mirror of this.#mirrors) mirror.fail(messageOf(error));
    }
  }

  async #read(): Promise<State> {
    this.#refuseClosed();
    return this.#file.read();
  }

  /** Leases of open sessions that the file does not have yet. */
  #granted(writes: readonly Write[]): ReadonlyMap<string, Lease> {
    const ids = writes.flatMap((write) => (write.kind === 'put' ? (write.lease ?? []) : []));
    for (const id of ids)
      if (this.#file.isClosed(id)) throw new GantryError('cluster-failed', `the lease ${id} has ended`);
    const leases = ids.flatMap((id) => [...this.#sessions].flatMap((session) => session.use(id) ?? []));
    return new Map(leases.map((lease) => [lease.id, lease]));
  }

  #entered(leases: ReadonlyMap<string, Lease>, revision: number): void {
    for (const session of this.#sessions) for (const id of leases.keys()) session.entered(id, revision);
    // From now on the file tells whether it is held.
    if (leases.size > 0 && this.#sessions.size > 0) this.#watch.start();
  }

  #ended(session: FileSession): void {
    this.#sessions.delete(session);
    this.#rest();
  }

  #rest(): void {
    if (this.#mirrors.size === 0 && this.#sessions.size === 0) this.#watch.stop();
  }

  #refuseClosed(): void {
    if (this.#closing !== undefined) throw new GantryError('cluster-failed', 'the store was closed');
  }
}
