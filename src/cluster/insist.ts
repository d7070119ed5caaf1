/**
 * Asks for a write that etcd refuses once it was done, again and again until somebody answers: after a failure, and
 * beside a try that is late. The tries that are left open may still do it, once, and whoever asked is told only what is
 * certain. Knows nothing of members or time limits.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { GantryError } from '../errors.ts';
import type { Failure } from './etcd/etcd-failures.ts';

/** What one try came to. */
export type Outcome<T> =
  | { readonly kind: 'done' | 'refused'; readonly answer: T }
  | { readonly kind: 'failed'; readonly failure: Failure };

export interface Insisting<T> {
  /** One try. Must not reject. */
  readonly ask: () => Promise<Outcome<T>>;
  /** Until another try after this failure; undefined: enough. */
  readonly pauseMs: (failure: Failure) => number | undefined;
  /** Until another try beside those that are late; undefined: none. */
  readonly hedgeMs: () => number | undefined;
  /** For how long after a refusal the tries that are open may still answer. */
  readonly settleMs: number;
  /** What is thrown when they do not. */
  readonly unanswered: () => GantryError;
}

/**
 * Answers what was done, or a refusal if no other try can have done it. Throws the error of a try that may have done
 * it, or of the last one. Once it is refused somebody has done it, or something else: a try that hangs is not waited for
 * to its end, which would be to wait for one that the last leader took with it.
 */
export async function insist<T>(insisting: Insisting<T>): Promise<T> {
  const { ask, hedgeMs, unanswered } = insisting;
  const open = new Open<T>();
  const seen: Outcome<T>[] = [];
  let isOver = false;
  for (let nextMs: number | undefined = 0; open.size > 0 || nextMs !== undefined; ) {
    const outcome = await open.first(nextMs);
    if (outcome?.kind === 'done') return outcome.answer;
    if (outcome === undefined && isOver) throw unanswered();
    if (outcome === undefined) open.add(ask());
    else seen.push(outcome);
    if (!isOver) nextMs = outcome?.kind === 'failed' ? insisting.pauseMs(outcome.failure) : hedgeMs();
    isOver ||= outcome !== undefined && (outcome.kind === 'refused' || nextMs === undefined);
    if (isOver) nextMs = isRefused(seen) && open.size > 0 ? insisting.settleMs : undefined;
  }
  return conclusion(seen);
}

function isRefused(seen: readonly Outcome<unknown>[]): boolean {
  return seen.some(({ kind }) => kind === 'refused');
}

/** Tries that nobody has heard the outcome of: one that settles while another is heard is heard after it. */
class Open<T> {
  readonly #tries = new Map<Promise<unknown>, Promise<{ outcome: Outcome<T>; of: Promise<unknown> }>>();

  get size(): number {
    return this.#tries.size;
  }

  add(asked: Promise<Outcome<T>>): void {
    this.#tries.set(
      asked,
      asked.then((outcome) => ({ outcome, of: asked })),
    );
  }

  /** undefined: the time is over; without one there must be a try. */
  async first(withinMs: number | undefined): Promise<Outcome<T> | undefined> {
    const over = new AbortController();
    const time =
      withinMs === undefined
        ? []
        : [delay(withinMs, undefined, { signal: over.signal }).catch(() => undefined)]; // rejects only for `over`
    const heard = await Promise.race([...this.#tries.values(), ...time]).finally(() => over.abort());
    if (heard !== undefined) this.#tries.delete(heard.of);
    return heard?.outcome;
  }
}

function conclusion<T>(seen: readonly Outcome<T>[]): T {
  const failures = seen.flatMap((outcome) => (outcome.kind === 'failed' ? [outcome.failure] : []));
  const lost = failures.find(({ elsewhere, unsent }) => elsewhere && !unsent);
  if (lost !== undefined) throw lost.error;
  for (const outcome of seen) if (outcome.kind === 'refused') return outcome.answer;
  // A refusal says more than that another member is away.
  const refused = failures.find(({ error }) => error.code === 'cluster-refused');
  throw (refused ?? failures.at(-1))?.error;
}
