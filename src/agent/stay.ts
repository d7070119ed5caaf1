/**
 * Runs an agent's loop for as long as somebody wants it: an engine or a proxy that is away ends a round, not the
 * loop. Trouble is told, the same trouble again only once in a while.
 */
import { isGantryError, messageOf } from '../errors.ts';
import type { Tell } from '../events.ts';
import type { Agent, View } from './agent.ts';

/** Pause after a round that failed, unless the engine is back sooner. */
const TROUBLE_PAUSE_MS = 2_000;
/** The same trouble, met again and again, is told once in so long. */
const TROUBLE_TOLD_MS = 60_000;

export interface StayOptions {
  readonly tell: Tell;
  readonly now: () => number;
}

/** Until `reached` says so of a view, which is answered, or until aborted (undefined). Never throws for a round. */
export async function stay(
  agent: Pick<Agent, 'run' | 'rest'>,
  reached: (view: View) => boolean,
  { tell, now }: StayOptions,
  signal: AbortSignal,
): Promise<View | undefined> {
  let told = { message: '', at: 0 };
  while (!signal.aborted) {
    try {
      return await agent.run(reached, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      const trouble = troubleOf(error);
      const isNews = trouble.message !== told.message || now() - told.at >= TROUBLE_TOLD_MS;
      if (isNews) {
        tell(trouble);
        told = { message: trouble.message, at: now() };
      }
      await agent.rest(TROUBLE_PAUSE_MS, signal);
    }
  }
  return undefined;
}

/** An error as the event that tells of it. */
export function troubleOf(error: unknown) {
  const known = isGantryError(error) ? error : undefined;
  return {
    kind: 'trouble',
    code: known?.code ?? 'internal',
    message: messageOf(error),
    ...(known?.hint === undefined ? {} : { hint: known.hint }),
  } as const;
}
