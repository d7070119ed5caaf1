/**
 * All members of etcd as one to ask: who answers is asked again, who does not is passed over. Reads are tried on
 * every member within the time of the call, and so is a write that cannot be done twice; any other write goes to the
 * next one only if it certainly was not sent.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { GantryError } from '../../errors.ts';
import { type Metrics, NO_METRICS } from '../../metrics/metrics.ts';
import { insist, type Outcome } from '../insist.ts';
import { DEFAULT_CALL_TIMEOUT_MS, endpointsOf, SETTLE_MS, type StoreOptions } from '../options.ts';
import { type Failure, failureOf, unreachable } from './etcd-failures.ts';
import { type Call, type CallName, Member } from './etcd-member.ts';
import { Tries } from './etcd-tries.ts';

export class Members {
  readonly timeoutMs: number;
  readonly metrics: Metrics;
  readonly #members: readonly Member[];
  readonly #urls: readonly string[];
  /** Counts on; its remainder is the place of the member to ask first. */
  #first: number;
  #closed = false;

  constructor(options: StoreOptions) {
    this.timeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.metrics = options.metrics ?? NO_METRICS;
    this.#members = endpointsOf(options).map((endpoint) => new Member(endpoint, options));
    this.#urls = this.#members.map(({ endpoint }) => endpoint.url);
    this.#first = Math.floor(Math.random() * this.#members.length); // spreads many agents over the members
  }

  /** May be asked more than once. */
  read<T>(name: CallName, call: Call<T>, timeoutMs = this.timeoutMs): Promise<T> {
    return this.#ask(name, call, timeoutMs, (failure) => failure.elsewhere);
  }

  /** Reaches etcd at most once. */
  write<T>(name: CallName, call: Call<T>): Promise<T> {
    return this.#ask(name, call, this.timeoutMs, (failure) => failure.elsewhere && failure.unsent);
  }

  /**
   * For a write that etcd refuses once it was done, whoever asks: while no answer comes, other members are asked too.
   * Answers that it was not done only if that is certain; throws cluster-unreachable where an answer was lost.
   */
  async insist<T extends { readonly succeeded: boolean }>(name: CallName, call: Call<T>): Promise<T> {
    this.#refuseClosed();
    const tries = new Tries(this.#members.length, this.timeoutMs);
    let late: Member | undefined;
    const ask = async (): Promise<Outcome<T>> => {
      if (late !== undefined) this.avoid(late);
      const member = this.#place();
      late = member;
      const outcome = await this.#outcomeOf(member, name, call, tries.leftMs);
      if (late === member) late = undefined;
      return outcome;
    };
    return insist({
      ask,
      pauseMs: (failure) => tries.pauseMs(failure),
      hedgeMs: () => tries.hedgeMs(),
      settleMs: SETTLE_MS,
      unanswered: () => unreachable('no answer in time', this.#urls),
    });
  }

  /** The member to ask now, for who wants to stay with one. */
  preferred(): Member {
    this.#refuseClosed();
    return this.#place();
  }

  /** It did not answer: the others come first now. */
  avoid(member: Member): void {
    if (member === this.#place()) this.#first += 1;
  }

  /** What was thrown by one member, told of that member. */
  failed(thrown: unknown, member: Member): GantryError {
    return failureOf(thrown, [member.endpoint.url]).error;
  }

  close(): void {
    this.#closed = true;
    for (const member of this.#members) member.close();
  }

  async #ask<T>(
    name: CallName,
    call: Call<T>,
    timeoutMs: number,
    goesOn: (failure: Failure) => boolean,
  ): Promise<T> {
    const tries = new Tries(this.#members.length, timeoutMs);
    let refused: GantryError | undefined;
    for (;;) {
      const member = this.preferred();
      try {
        return await member.call(name, call, tries.tryMs);
      } catch (thrown) {
        const failure = this.#noted(thrown, member);
        if (failure.error.code === 'cluster-refused') refused = failure.error;
        if (!goesOn(failure)) throw failure.error;
        const pauseMs = tries.pauseMs(failure);
        // A refusal says more than that another member is away.
        if (pauseMs === undefined) throw refused ?? failure.error;
        if (pauseMs > 0) await delay(pauseMs);
      }
    }
  }

  /** Whose turn it is. */
  #place(): Member {
    const member = this.#members[this.#first % this.#members.length];
    if (member === undefined) throw new GantryError('internal', 'etcd has no members');
    return member;
  }

  /** Never rejects. */
  async #outcomeOf<T extends { readonly succeeded: boolean }>(
    member: Member,
    name: CallName,
    call: Call<T>,
    timeoutMs: number,
  ): Promise<Outcome<T>> {
    try {
      const answer = await member.call(name, call, timeoutMs);
      return { kind: answer.succeeded ? 'done' : 'refused', answer };
    } catch (thrown) {
      return { kind: 'failed', failure: this.#noted(thrown, member) };
    }
  }

  /** What it means; who does not answer is passed over from now on. */
  #noted(thrown: unknown, member: Member): Failure {
    const failure = failureOf(this.#closed ? wasClosed() : thrown, this.#urls);
    if (failure.elsewhere) this.avoid(member);
    return failure;
  }

  #refuseClosed(): void {
    if (this.#closed) throw wasClosed();
  }
}

function wasClosed(): GantryError {
  return new GantryError('cluster-failed', 'the connection to etcd was closed');
}
