/**
 * How a backend's requests were answered, for who compares two releases: counted per backend while its route has a
 * canary. Of each request the worst that came of it counts, once, when it is known; a client that left before
 * the answer began counts nowhere. Where several processes carry a backend, their counts are summed.
 */

import type { AnswerCounts } from '../control/protocol.ts';
import { bucketOf, mergedLatency } from './latency.ts';

const FIRST_SERVER_ERROR = 500;

export class AnswerTally {
  /** Of the canary it was begun for. */
  readonly id: string;
  #requests = 0;
  #errors = 0;
  readonly #latency: number[] = [];

  constructor(id: string) {
    this.id = id;
  }

  /** A request that is given to the backend now. */
  begin(): CountedAnswer {
    return new CountedAnswer(this);
  }

  /** INVARIANT: called by CountedAnswer alone, as is failed(). */
  ended(tookMs: number | undefined): void {
    this.#requests += 1;
    if (tookMs === undefined) return;
    const bucket = bucketOf(tookMs);
    while (this.#latency.length <= bucket) this.#latency.push(0);
    this.#latency[bucket] = (this.#latency[bucket] ?? 0) + 1;
  }

  failed(): void {
    this.#errors += 1;
  }

  counts(): AnswerCounts {
    return { requests: this.#requests, errors: this.#errors, latency: [...this.#latency] };
  }
}

/** One request's part in the counts. */
export class CountedAnswer {
  readonly #tally: AnswerTally;
  readonly #since = performance.now();
  #begun = false;
  #failed = false;

  constructor(tally: AnswerTally) {
    this.#tally = tally;
  }

  /** The head of the answer is there. */
  began(status: number): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#tally.ended(performance.now() - this.#since);
    if (status >= FIRST_SERVER_ERROR) this.#fail();
  }

  /** The backend broke off: before the head, or before the answer was whole. */
  broke(): void {
    if (!this.#begun) this.#tally.ended(undefined);
    this.#begun = true;
    this.#fail();
  }

  #fail(): void {
    if (!this.#failed) this.#tally.failed();
    this.#failed = true;
  }
}

/** The counts of all of them together. */
export function mergedAnswers(all: readonly AnswerCounts[]): AnswerCounts {
  return {
    requests: all.reduce((sum, { requests }) => sum + requests, 0),
    errors: all.reduce((sum, { errors }) => sum + errors, 0),
    latency: mergedLatency(all.map(({ latency }) => latency)),
  };
}
