/**
 * How a command about jobs writes what it asks: look, decide, write all at once if nothing changed since the look,
 * else look again. An answer that was lost is no reason to ask twice: the next look tells whether it was written.
 */
import { apart, LOST_TRIES, lookAfterLoss, pauseAfterLoss, TRIES, tried } from '../../cluster/asking.ts';
import type { Condition, Write } from '../../cluster/store.ts';
import { GantryError } from '../../errors.ts';
import type { JobFleet } from '../job-fleet.ts';

/** What one look calls for. No writes: nothing is to be done, or it has been done. */
export interface Step<T> {
  readonly result: T;
  readonly conditions: readonly Condition[];
  readonly writes: readonly Write[];
}

/** `lost`: what it tried to write last without hearing whether it was. */
export type Look<T> = (lost: T | undefined) => Promise<Step<T>>;

/** etcd takes 128 in a transaction. */
export const MAX_DELETES = 100;

/** cluster-unreachable (what was asked may have been written or not), superseded, and what the look throws. */
export async function carryOut<T>(fleet: JobFleet, look: Look<T>): Promise<T> {
  let lost: T | undefined;
  let losses = 0;
  for (let tries = 0; tries < TRIES; tries++) {
    const step: Step<T> =
      losses === 0 ? await look(undefined) : await lookAfterLoss(() => look(lost), unknownWhether);
    if (step.writes.length === 0) return step.result;
    const answer = await tried(fleet.store, step.conditions, step.writes);
    if (answer === 'written') return step.result;
    if (answer === 'refused') await apart(tries);
    else if (++losses > LOST_TRIES) throw unknownWhether(answer);
    else {
      lost = step.result;
      await pauseAfterLoss();
    }
  }
  throw new GantryError('superseded', 'Others changed the same again and again meanwhile', {
    hint: 'Look how it is now, then give the command again.',
    retryable: true,
  });
}

/** Deletes keys whatever they hold, so many at a time. Gone already is success. `also` is written with the first. */
export async function deleteAll(
  fleet: JobFleet,
  keys: readonly string[],
  also: readonly Write[] = [],
): Promise<void> {
  for (let from = 0; from < keys.length; from += MAX_DELETES) {
    const deletes = keys.slice(from, from + MAX_DELETES).map((key) => ({ kind: 'delete', key }) as const);
    const writes = from === 0 ? [...deletes, ...also] : deletes;
    await carryOut(fleet, async () => ({ result: undefined, conditions: [], writes }));
  }
}

/** For a look that cannot tell either. */
export function unknownWhether(cause: GantryError | undefined): GantryError {
  const why = cause === undefined ? '' : `: ${cause.message}`;
  return new GantryError('cluster-unreachable', `etcd went away while it was written to${why}`, {
    hint: 'It may have been written or not: look how it is once etcd answers, before it is asked for again.',
    retryable: true,
    cause,
  });
}
