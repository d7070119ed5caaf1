/** Waits for others to write something: followed in the store, and looked at now and then besides. */
import { Poke } from '../poke.ts';
import type { Range, Store } from './store.ts';

/** Hints that something changed may be missed. */
const LOOK_AGAIN_MS = 2_000;

export interface Wait<T> {
  /** Where it would be written. */
  readonly range: Range;
  readonly waitMs: number;
  readonly signal: AbortSignal;
  readonly look: () => Promise<T>;
  readonly isDone: (found: T) => boolean;
}

/** What a look found once it is done, or as it is when the time is over or nobody waits. Throws what the look throws. */
export async function untilWritten<T>(
  store: Store,
  { range, waitMs, signal, look, isDone }: Wait<T>,
): Promise<T> {
  const poke = new Poke();
  const mirror = store.follow({ range, onChange: () => poke.poke() });
  const end = performance.now() + waitMs;
  try {
    for (;;) {
      poke.clear();
      const found = await look();
      const leftMs = end - performance.now();
      if (isDone(found) || leftMs <= 0 || signal.aborted) return found;
      await poke.wait(Math.min(leftMs, LOOK_AGAIN_MS), signal);
    }
  } finally {
    mirror.close();
  }
}
