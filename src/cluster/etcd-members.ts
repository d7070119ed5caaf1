/**
 * All members of etcd as one to ask: who answers is asked again, who does not is passed over. Reads are tried on
 * every member within the time of the call; a write goes to the next one only if it certainly was not sent.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { GantryError } from '../errors.ts';
import { type Failure, failureOf } from './etcd-failures.ts';
import { type Call, Member } from './etcd-member.ts';
import {
  DEFAULT_CALL_TIMEOUT_MS,
  endpointsOf,
  ROUND_PAUSE_MS,
  ROUNDS,
  SHORTEST_TRY_MS,
  type StoreOptions,
} from './options.ts';

export class Members {
  readonly timeoutMs: number;
  readonly #members: readonly Member[];
  readonly #urls: readonly string[];
  /** Counts on; its remainder is the place of the member to ask first. */
  #first: number;
  #closed = false;

  constructor(options: StoreOptions) {
    this.timeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#members = endpointsOf(options).map((endpoint) => new Member(endpoint, options));
    this.#urls = this.#members.map(({ endpoint }) => endpoint.url);
    this.#first = Math.floor(Math.random() * this.#members.length); // spreads many agents over the members
  }

  /** May be asked more than once. */
  read<T>(call: Call<T>, timeoutMs = this.timeoutMs): Promise<T> {
    return this.#ask(call, timeoutMs, (failure) => failure.elsewhere);
  }

  /** Reaches etcd at most once. */
  write<T>(call: Call<T>): Promise<T> {
    return this.#ask(call, this.timeoutMs, (failure) => failure.elsewhere && failure.unsent);
  }

  /** The member to ask now, for who wants to stay with one. */
  preferred(): Member {
    this.#refuseClosed();
    const member = this.#members[this.#first % this.#members.length];
    if (member === undefined) throw new GantryError('internal', 'etcd has no members');
    return member;
  }

  /** It did not answer: the others come first now. */
  avoid(member: Member): void {
    if (member === this.#members[this.#first % this.#members.length]) this.#first += 1;
  }

  /** What was thrown by one member, told of that member. */
  failed(thrown: unknown, member: Member): GantryError {
    return failureOf(thrown, [member.endpoint.url]).error;
  }

  close(): void {
    this.#closed = true;
    for (const member of this.#members) member.close();
  }

  async #ask<T>(call: Call<T>, timeoutMs: number, goesOn: (failure: Failure) => boolean): Promise<T> {
    const end = performance.now() + timeoutMs;
    let refused: GantryError | undefined;
    for (let asked = 1; ; asked++) {
      const member = this.preferred();
      try {
        return await member.call(call, this.#tryMs(end));
      } catch (thrown) {
        this.#refuseClosed();
        const failure = failureOf(thrown, this.#urls);
        if (failure.elsewhere) this.avoid(member);
        if (failure.error.code === 'cluster-refused') refused = failure.error;
        if (!goesOn(failure)) throw failure.error;
        if (asked % this.#members.length === 0) await delay(ROUND_PAUSE_MS);
        // A refusal says more than that another member is away.
        if (asked >= ROUNDS * this.#members.length || performance.now() >= end)
          throw refused ?? failure.error;
      }
    }
  }

  #tryMs(end: number): number {
    const left = Math.max(1, end - performance.now());
    return this.#members.length === 1 || left < SHORTEST_TRY_MS ? left : left / 2;
  }

  #refuseClosed(): void {
    if (this.#closed) throw new GantryError('cluster-failed', 'the connection to etcd was closed');
  }
}
