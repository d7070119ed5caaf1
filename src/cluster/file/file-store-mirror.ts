/** A range of a file store in memory: what differs between one look at the file and the next. */

import type { Entry, FollowOptions, Mirror } from '../store.ts';
import { notify, Once } from '../waiting.ts';
import { listingOf, type State } from './file-store-state.ts';

export class FileMirror implements Mirror {
  entries: ReadonlyMap<string, Entry> = new Map();
  revision = 0;
  trouble: string | undefined = 'not read yet';
  readonly #options: FollowOptions;
  readonly #onClose: () => void;
  readonly #listed = new Once();
  #shown: State | undefined;
  #closed = false;

  constructor(options: FollowOptions, onClose: () => void) {
    this.#options = options;
    this.#onClose = onClose;
  }

  get current(): boolean {
    return this.trouble === undefined;
  }

  listed(signal: AbortSignal): Promise<void> {
    return this.#listed.happened(signal);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.trouble = 'closed';
    this.#onClose();
  }

  show(state: State): void {
    if (this.#closed || (state === this.#shown && this.current)) return;
    const was = this.#shown;
    const listing = listingOf(state, this.#options.range);
    const entries = new Map(listing.entries.map((entry) => [entry.key, entry]));
    const changed = differing(this.entries, entries);
    const isNews = changed.length > 0 || !this.current;
    [this.#shown, this.entries, this.revision, this.trouble] = [state, entries, state.revision, undefined];
    this.#listed.happen();
    const isKnown = was !== undefined && was.revision <= state.revision;
    if (isNews) notify(() => this.#options.onChange(isKnown ? changed : undefined));
  }

  fail(trouble: string): void {
    if (this.#closed) return;
    const was = this.current;
    this.trouble = trouble;
    if (was) notify(() => this.#options.onChange([]));
  }
}

/** Keys that were written, in that order, then those that are gone. */
function differing(before: ReadonlyMap<string, Entry>, after: ReadonlyMap<string, Entry>): readonly string[] {
  const written = [...after.values()].filter((entry) => !isSame(entry, before.get(entry.key)));
  written.sort((a, b) => a.modRevision - b.modRevision);
  const gone = [...before.keys()].filter((key) => !after.has(key));
  return [...written.map(({ key }) => key), ...gone];
}

function isSame(a: Entry, b: Entry | undefined): boolean {
  return a.modRevision === b?.modRevision && a.createRevision === b.createRevision && a.value === b.value;
}
