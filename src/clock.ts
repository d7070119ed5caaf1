/** The clock that waiting is measured with, and the moments that a process wakes at. */

/**
 * Epoch milliseconds by the clock as it was when this process began, and as much time as has passed since: setting the
 * clock neither ends a deadline nor puts one off. What is told after that differs from the clock by as much.
 */
export function steadyNow(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

/** Timers may come so much before their time. */
const EARLY_MS = 5;

/**
 * Milliseconds until the next of the moments, `everyMs` apart, at which all of this process is done that comes again and
 * again: a hundred things at once cost less than a hundred one by one. Other processes have other moments.
 */
export function untilTogether(everyMs: number, now = performance.now()): number {
  const leftMs = everyMs - (now % everyMs);
  return leftMs > EARLY_MS ? leftMs : leftMs + everyMs;
}
