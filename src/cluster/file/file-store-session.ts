/**
 * A session of a file store: a lease that holds for as long as its process lives, without renewal. It comes into the
 * file with the first key that is written under it, so that who writes none pays nothing.
 */
import { randomUUID } from 'node:crypto';
import type { Session, SessionOptions } from '../store.ts';
import { notify } from '../waiting.ts';
import type { StoreFile } from './file-store-file.ts';
import { ownProcess, sharedNow } from './file-store-process.ts';
import type { Lease, State } from './file-store-state.ts';

/** As in a fleet, where it is given up before the store ends it. */
const MARGIN = 0.1;

export class FileSession implements Session {
  readonly #file: StoreFile;
  readonly #options: SessionOptions;
  readonly #onClose: () => void;
  #lease: Lease | undefined;
  /** A commit was asked for under it: the file may have it. */
  #used = false;
  /** The revision that brought it into the file; from then on it has ended when it is not there. */
  #since: number | undefined;
  /** It was seen there: whatever is seen after that is newer, even with a revision that was restored. */
  #seen = false;
  #closing: Promise<void> | undefined;

  constructor(file: StoreFile, options: SessionOptions, onClose: () => void) {
    this.#file = file;
    this.#options = options;
    this.#onClose = onClose;
    queueMicrotask(() => this.#begin());
  }

  lease(): string | undefined {
    return this.#lease?.id;
  }

  heldForMs(): number {
    return this.#lease === undefined ? 0 : this.#options.ttlMs * (1 - MARGIN);
  }

  close(): Promise<void> {
    this.#closing ??= this.#end((lease) => {
      this.#file.noteClosed(lease.id);
      return this.#file.change((draft) => draft.end([lease.id]));
    });
    return this.#closing;
  }

  abandon(): void {
    this.#closing ??= this.#end((lease) =>
      this.#file.change((draft) => draft.leave(lease.id, sharedNow() + this.#options.ttlMs)),
    );
  }

  /** The lease, for a commit under it, if it is this one's and not in the file yet. */
  use(id: string): Lease | undefined {
    if (this.#lease?.id !== id) return undefined;
    this.#used = true;
    return this.#since === undefined ? this.#lease : undefined;
  }

  /** A commit under the lease is done. */
  entered(id: string, revision: number): void {
    if (this.#lease?.id === id) this.#since ??= revision;
  }

  /** A look at the file. */
  show({ leases, revision }: State): void {
    if (this.#lease === undefined || this.#since === undefined) return;
    const isThere = leases.has(this.#lease.id);
    if (!isThere && (this.#seen || revision >= this.#since)) this.#lose();
    else this.#seen = isThere;
  }

  #begin(): void {
    if (this.#closing !== undefined) return;
    this.#lease = { id: randomUUID(), process: ownProcess() };
    [this.#used, this.#since, this.#seen] = [false, undefined, false];
    notify(this.#options.onChange);
  }

  #lose(): void {
    this.#lease = undefined;
    notify(this.#options.onChange);
    this.#begin();
  }

  async #end(tell: (lease: Lease) => Promise<void>): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    try {
      if (lease !== undefined && this.#used) await tell(lease);
    } catch {
      // What cannot be written ends by itself: with the next change of this process, or with the process.
    } finally {
      this.#onClose();
    }
  }
}
