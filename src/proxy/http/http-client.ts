/**
 * One http client connection and what is under way on it. Carries nothing itself: an exchange or an
 * upgrade is its work, and ends with it.
 */
import type { Entrance } from '../backends/dispatch.ts';

/** What http needs of the listener; it changes under a living connection. */
export interface HttpEntrance extends Entrance {
  /** Clients are to leave: say so on the next response. */
  readonly retiring: boolean;
  /** Clients that do not leave by themselves are let go as soon as they are idle. */
  readonly dismissing: boolean;
}

/** What is under way on one client connection, in order of arrival. */
export interface Work {
  abort(): void;
}

/** One client connection. Answers go out in order, but work on several requests may overlap. */
export class HttpClient {
  readonly #work = new Set<Work>();
  #idleSince = performance.now();

  get busy(): boolean {
    return this.#work.size > 0;
  }

  begin(work: Work): void {
    this.#work.add(work);
  }

  end(work: Work): void {
    this.#work.delete(work);
    if (this.#work.size === 0) this.#idleSince = performance.now();
  }

  abort(): void {
    for (const work of [...this.#work]) work.abort();
  }

  idleMs(now: number): number {
    return this.busy ? 0 : now - this.#idleSince;
  }
}
