/**
 * The tables in force, by owner: their revisions, who claims which port, and their copy on disk. Knows
 * nothing of sockets.
 */
import { readFile } from 'node:fs/promises';
import { GantryError, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { OwnedTable } from '../control/protocol.ts';
import { type LeftBackend, loadTables, type SavedTables, saveTables } from './persist.ts';
import {
  EMPTY_TABLE,
  listenersOf,
  placeKey,
  placesOverlap,
  type RoutedListener,
  type RouteTable,
} from './routes.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export class Tables {
  readonly #path: string;
  readonly #log: Log;
  readonly #owners = new Map<string, OwnedTable>();
  readonly #left: () => readonly LeftBackend[];
  #lastRevision = 0;
  #boot: string | undefined;
  #persistError: string | undefined;

  /** `left`: see SavedTables, asked at each use. */
  constructor(path: string, log: Log, left: () => readonly LeftBackend[]) {
    this.#left = left;
    this.#path = path;
    this.#log = log;
  }

  /** Why the last write failed; undefined when it did not. */
  get persistError(): string | undefined {
    return this.#persistError;
  }

  get all(): readonly OwnedTable[] {
    return [...this.#owners.values()];
  }

  get saved(): SavedTables {
    const left = this.#left();
    return {
      lastRevision: this.#lastRevision,
      owners: this.all,
      ...(left.length === 0 ? {} : { left }),
      ...(this.#boot === undefined ? {} : { boot: this.#boot }),
    };
  }

  /** Revision 0 and an empty table when the owner has none. */
  of(owner: string): OwnedTable {
    return this.#owners.get(owner) ?? { owner, revision: 0, table: EMPTY_TABLE };
  }

  /** Throws GantryError route-conflict when it is of another revision. */
  at(owner: string, revision: number): OwnedTable {
    const present = this.of(owner);
    if (present.revision === revision) return present;
    const message = `the routes of ${owner} changed meanwhile (revision ${present.revision}, not ${revision})`;
    throw new GantryError('route-conflict', message, { retryable: true });
  }

  /** Takes over what is on disk, and answers it. */
  async load(): Promise<SavedTables & { readonly isOfAnotherBoot: boolean }> {
    const loaded = await loadTables(this.#path);
    this.#boot = await bootId();
    for (const problem of loaded.problems) this.#log.error('tables could not be restored', { problem });
    this.take(loaded);
    return { ...loaded, isOfAnotherBoot: loaded.boot !== this.#boot };
  }

  take({ lastRevision, owners, boot }: SavedTables): void {
    this.#boot ??= boot;
    this.notBelow(lastRevision);
    for (const owned of owners) this.#owners.set(owned.owner, owned);
  }

  /** Revisions given out from now on are above this one. */
  notBelow(revision: number): void {
    this.#lastRevision = Math.max(this.#lastRevision, revision);
  }

  /** What the owner would have next; nothing changes. */
  next(owner: string, table: RouteTable): OwnedTable {
    return { owner, revision: table.routes.length === 0 ? 0 : this.#lastRevision + 1, table };
  }

  /** Of all owners, as they would be with this one's. */
  with(owner: string, table: RouteTable): readonly OwnedTable[] {
    return [...this.all.filter((other) => other.owner !== owner), this.next(owner, table)];
  }

  /** With the next revision. An empty table forgets the owner. */
  replace(owner: string, table: RouteTable): OwnedTable {
    const owned = this.next(owner, table);
    this.#lastRevision += 1;
    this.set(owned);
    return owned;
  }

  set(owned: OwnedTable): void {
    if (owned.table.routes.length === 0) this.#owners.delete(owned.owner);
    else this.#owners.set(owned.owner, owned);
  }

  /** Throws GantryError port-taken when another owner's table has one of these places. */
  refuseClaimed(owner: string, listeners: readonly RoutedListener[]): void {
    for (const other of this.#owners.values()) {
      if (other.owner === owner) continue;
      for (const theirs of listenersOf(other.table)) {
        const ours = listeners.find((listener) => placesOverlap(listener, theirs));
        if (ours !== undefined)
          throw claimed(`${owner}/${ours.component}`, ours, `${other.owner}/${theirs.component}`);
      }
    }
  }

  /** Never fails: tables that cannot be written live in memory, and the status says so. */
  async save(): Promise<void> {
    try {
      await saveTables(this.#path, this.saved);
      this.#persistError = undefined;
    } catch (error) {
      this.#persistError = messageOf(error);
      this.#log.error('the tables live in memory only', { why: this.#persistError });
    }
  }
}

/** Changes with each start of the host; undefined: it does not say. */
async function bootId(): Promise<string | undefined> {
  const text = await readFile(BOOT_ID, 'utf8').catch(() => undefined);
  return text?.trim();
}

function claimed(ours: string, listener: RoutedListener, theirs: string): GantryError {
  const message = `${ours} asks for ${placeKey(listener)}, which ${theirs} has`;
  return new GantryError('port-taken', message, {
    hint: 'Give one of the two another external port, or stop the one that has it.',
  });
}
