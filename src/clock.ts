/** The clock that waiting is measured with. */

/**
 * Epoch milliseconds by the clock as it was when this process began, and as much time as has passed since: setting the
 * clock neither ends a deadline nor puts one off. What is told after that differs from the clock by as much.
 */
export function steadyNow(): number {
  return Math.round(performance.timeOrigin + performance.now());
}
