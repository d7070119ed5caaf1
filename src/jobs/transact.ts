/**
 * How a command about jobs writes what it asks: look, decide, write all at once if nothing changed since the look,
 * else look again. An answer that was lost is no reason to ask twice: the next look tells whether it was written.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Condition, Write } from '../cluster/store.ts';
import { GantryError, isGantryError } from '../errors.ts';
import type { JobFleet } from './job-fleet.ts';

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
/** Others write at the same time; each try loses only to one that won. */
const TRIES = 20;
const PAUSE_MS = 20;
/** How long a new leader, or another member, is waited for after an answer was lost. */
const LOST_TRIES = 4;
const LOST_PAUSE_MS = 500;

/** cluster-unreachable (what was asked may have been written or not), superseded, and what the look throws. */
export async function carryOut<T>(fleet: JobFleet, look: Look<T>): Promise<T> {
  let lost: T | undefined;
  let losses = 0;
  for (let tries = 0; tries < TRIES; tries++) {
    const step: Step<T> = losses === 0 ? await look(undefined) : await lookAfterLoss(() => look(lost));
    if (step.writes.length === 0) return step.result;
    const answer = await written(fleet, step);
    if (answer === 'written') return step.result;
    if (answer === 'refused') await delay(PAUSE_MS * Math.random() * (tries + 1));
    else if (++losses > LOST_TRIES) throw unknownWhether(answer);
    else {
      lost = step.result;
      await delay(LOST_PAUSE_MS);
    }
  }
  throw new GantryError('superseded', 'Others changed the same again and again meanwhile', {
    hint: 'Look how it is now, then give the command again.',
    retryable: true,
  });
}

/** Deletes keys whatever they hold, so many at a time. Gone already is success. */
export async function deleteAll(fleet: JobFleet, keys: readonly string[]): Promise<void> {
  for (let from = 0; from < keys.length; from += MAX_DELETES) {
    const writes = keys.slice(from, from + MAX_DELETES).map((key) => ({ kind: 'delete', key }) as const);
    await carryOut(fleet, async () => ({ result: undefined, conditions: [], writes }));
  }
}

/** refused: something changed since the look. The error: its answer was lost, and whether it was written is not known. */
async function written(fleet: JobFleet, step: Step<unknown>): Promise<'written' | 'refused' | GantryError> {
  try {
    const { done } = await fleet.store.commit(step.conditions, step.writes);
    return done ? 'written' : 'refused';
  } catch (error) {
    if (isGantryError(error, 'cluster-unreachable')) return error;
    throw error;
  }
}

/** Whether something was written is worth waiting for, but not for ever. */
async function lookAfterLoss<T>(look: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await look();
    } catch (error) {
      if (!isGantryError(error, 'cluster-unreachable')) throw error;
      if (tries >= LOST_TRIES) throw unknownWhether(error);
      await delay(LOST_PAUSE_MS);
    }
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
