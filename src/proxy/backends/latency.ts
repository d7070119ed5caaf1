/**
 * How long answers took, as counts in buckets that are the same in every process, so that counts add up. Pure.
 *
 * Bucket 0 holds what took up to 0.1 ms; each further one reaches 10^(1/40), that is 5.9 %, further than the one
 * before it, bucket 240 to 100 s; bucket 241 holds whatever took longer. Empty buckets at the end are left out.
 */
const FIRST_MS = 0.1;
const PER_DECADE = 40;
const DECADES = 6;
const LAST = PER_DECADE * DECADES;

/** The bucket of an answer that took so many milliseconds. */
export function bucketOf(ms: number): number {
  if (!(ms > FIRST_MS)) return 0;
  // Rounded, so that a bound is in its own bucket and not, by the last bit of a logarithm, in the next.
  const steps = Number((PER_DECADE * Math.log10(ms / FIRST_MS)).toFixed(9));
  return Math.min(Math.ceil(steps), LAST + 1);
}

/** What a bucket holds at most, in milliseconds; of the last one, which has no bound, what it holds at least. */
export function boundMs(bucket: number): number {
  return FIRST_MS * 10 ** (Math.min(bucket, LAST) / PER_DECADE);
}

/** The counts of all of them together. */
export function mergedLatency(all: readonly (readonly number[])[]): readonly number[] {
  const length = Math.max(0, ...all.map((counts) => counts.length));
  return Array.from({ length }, (_, at) => all.reduce((sum, counts) => sum + (counts[at] ?? 0), 0));
}

/** So many milliseconds were enough for this share (0 to 1) of the answers; undefined: there were none. */
export function percentileMs(counts: readonly number[], share: number): number | undefined {
  const total = counts.reduce((sum, n) => sum + n, 0);
  if (total === 0) return undefined;
  let left = Math.max(1, Math.ceil(share * total));
  const bucket = counts.findIndex((n) => {
    left -= n;
    return left <= 0;
  });
  return boundMs(bucket);
}
