/**
 * What commands have in common that look, decide, write all at once if nothing changed since the look, and look again
 * else. An answer that was lost is no reason to ask twice: the next look tells whether it was written. What is looked
 * at and decided is theirs.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type GantryError, isGantryError } from '../errors.ts';
import { pruneAudited } from './audit.ts';
import type { Condition, Store, Write } from './store.ts';

/** Others write at the same time; each try loses only to one that won. */
export const TRIES = 20;
/** How long a new leader, or another member, is waited for after an answer was lost. */
export const LOST_TRIES = 4;
const PAUSE_MS = 20;
const LOST_PAUSE_MS = 500;

/** refused: something changed since the look. The error: its answer was lost, and whether it was written is not known. */
export async function tried(
  store: Store,
  conditions: readonly Condition[],
  writes: readonly Write[],
): Promise<'written' | 'refused' | GantryError> {
  try {
    const { done } = await store.commit(conditions, writes);
    if (!done) return 'refused';
    // What was asked is done: that too much of the audit is left is for the next one to see to.
    await pruneAudited(store, writes).catch(() => undefined);
    return 'written';
  } catch (error) {
    if (isGantryError(error, 'cluster-unreachable')) return error;
    throw error;
  }
}

/** After a refusal: the more often, the longer those who ask at once are apart. */
export function apart(tries: number): Promise<void> {
  return delay(PAUSE_MS * Math.random() * (tries + 1));
}

export function pauseAfterLoss(): Promise<void> {
  return delay(LOST_PAUSE_MS);
}

/** Whether something was written is worth waiting for, but not for ever: then `unknown` is thrown. */
export async function lookAfterLoss<T>(
  look: () => Promise<T>,
  unknown: (cause: GantryError) => GantryError,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await look();
    } catch (error) {
      if (!isGantryError(error, 'cluster-unreachable')) throw error;
      if (tries >= LOST_TRIES) throw unknown(error);
      await pauseAfterLoss();
    }
  }
}
