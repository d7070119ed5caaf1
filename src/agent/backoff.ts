/** How long to wait before the next replacement after failures in a row, also in words: exponential, with jitter. Pure. */

export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_MAX_MS = 60_000;
/** A failure after this long without one counts as the first again. */
export const BACKOFF_FORGET_MS = 120_000;

/**
 * The first failure is replaced at once; from the second on the step doubles. Answers between half and
 * all of the step, so that components that fail together do not march in step. `random` answers [0, 1).
 */
export function backoffMs(failures: number, random: () => number): number {
  if (failures <= 1) return 0;
  const step = Math.min(BACKOFF_FIRST_MS * 2 ** (failures - 2), BACKOFF_MAX_MS);
  return Math.round(step / 2 + (step / 2) * random());
}

/** `2nd failure in a row, next try in 0.4 s; the pause doubles up to 60 s`. */
export function backoffWords(failures: number, leftMs: number): string {
  const next = `next try in ${(leftMs / 1000).toFixed(1)} s`;
  return `${ordinal(failures)} failure in a row, ${next}; the pause doubles up to ${BACKOFF_MAX_MS / 1000} s`;
}

function ordinal(n: number): string {
  const isTeen = Math.floor(n / 10) % 10 === 1;
  return `${n}${(isTeen ? undefined : ['th', 'st', 'nd', 'rd'][n % 10]) ?? 'th'}`;
}
