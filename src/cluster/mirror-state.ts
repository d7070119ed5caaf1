/**
 * A range of keys as listings and watch events tell of it. Both come over connections of their own, so either may be
 * ahead: whatever has the greater revision counts. Pure.
 */
import type { Entry, Listing } from './store.ts';

/** What a watch tells. */
export type Change =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: number };

export class MirrorState {
  readonly entries = new Map<string, Entry>();
  /** Newest seen. */
  revision = 0;
  /** Of the newest listing taken in: everything up to it is known for certain. */
  #listed = 0;
  /** What events told since, with the revision they told: a listing of before does not take it back. */
  readonly #told = new Map<string, number>();
  /** What a listing had and no event had told, with its revision: a watch that stands owes the event. */
  readonly #owed = new Map<string, number>();

  /** The revision from which on a listing tells something new. */
  get unlisted(): number {
    return this.#listed + 1;
  }

  /** A watch that stands delivers late at most, never not at all. */
  get owed(): boolean {
    return this.#owed.size > 0;
  }

  /** Begins anew with a listing, whatever was known. Answers whether anything changed. */
  replace(listing: Listing): boolean {
    this.#told.clear();
    const changed = this.#assume(listing);
    this.forgive();
    this.revision = listing.revision;
    return changed;
  }

  /** A full listing, made while a watch stood. */
  merge(listing: Listing): boolean {
    return this.#assume(listing);
  }

  /**
   * Only what is newer than the last listing, and how many keys there are: enough unless something was deleted
   * without an event, or events are ahead. Then it answers `unsure`, nothing is taken in, and a full listing must come.
   */
  refresh(newer: Listing, count: number): 'changed' | 'same' | 'unsure' {
    const created = newer.entries.filter(({ key }) => !this.entries.has(key)).length;
    if (this.#ahead(newer.revision) || this.entries.size + created !== count) return 'unsure';
    const put = newer.entries.filter((entry) => this.#put(entry, newer.revision));
    this.#settle(newer.revision);
    return put.length > 0 ? 'changed' : 'same';
  }

  /** Nothing is owed for what happened before the watch stood. */
  forgive(): void {
    this.#owed.clear();
  }

  event(change: Change): boolean {
    const [key, revision] = told(change);
    if ((this.#owed.get(key) ?? Number.POSITIVE_INFINITY) <= revision) this.#owed.delete(key);
    if (revision <= Math.max(this.#listed, this.#told.get(key) ?? 0)) return false;
    this.#told.set(key, revision);
    this.revision = Math.max(this.revision, revision);
    if (change.kind === 'delete') return this.entries.delete(key);
    this.entries.set(key, change.entry);
    return true;
  }

  #assume(listing: Listing): boolean {
    const present = new Set(listing.entries.map(({ key }) => key));
    const gone = [...this.entries.keys()].filter(
      (key) => !present.has(key) && (this.#told.get(key) ?? 0) <= listing.revision,
    );
    for (const key of gone) {
      this.entries.delete(key);
      this.#owed.set(key, 0);
    }
    const put = listing.entries.filter((entry) => this.#put(entry, listing.revision));
    this.#settle(listing.revision);
    return gone.length + put.length > 0;
  }

  #put(entry: Entry, listed: number): boolean {
    const { key, modRevision } = entry;
    if ((this.#told.get(key) ?? 0) > listed) return false;
    if (this.entries.get(key)?.modRevision === modRevision && this.entries.get(key)?.value === entry.value)
      return false;
    this.entries.set(key, entry);
    this.#owed.set(key, modRevision);
    return true;
  }

  #ahead(revision: number): boolean {
    return [...this.#told.values()].some((told) => told > revision);
  }

  #settle(revision: number): void {
    this.#listed = revision;
    this.revision = Math.max(this.revision, revision);
    for (const [key, told] of this.#told) if (told <= revision) this.#told.delete(key);
  }
}

function told(change: Change): readonly [string, number] {
  return change.kind === 'put'
    ? [change.entry.key, change.entry.modRevision]
    : [change.key, change.modRevision];
}
