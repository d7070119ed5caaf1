/** Waits for an engine that is away, as long as it takes: containers outlive the engine's restarts, and gantryd too. */
import { isGantryError } from '../errors.ts';
import { pause } from '../poke.ts';

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;

/** The engine cannot be had now; the same call may succeed when it is back. */
export function isAway(error: unknown): boolean {
  if (isGantryError(error, 'engine-timeout')) return true;
  return isGantryError(error, 'engine-unreachable') && error.retryable;
}

/** Tries again while the engine is away, until aborted: then it fails as the last try did. `onAway`: told once. */
export async function patiently<T>(
  call: () => Promise<T>,
  signal: AbortSignal,
  onAway?: (error: unknown) => Promise<void>,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    try {
      return await call();
    } catch (error) {
      if (signal.aborted || !isAway(error)) throw error;
      if (failures === 0) await onAway?.(error);
      await pause(Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10)), signal);
      if (signal.aborted) throw error;
    }
  }
}
