/** Medians, ranges and paired ratios of what the rounds measured. Pure. */

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** `share`: 0.99 for what all but one of a hundred are below. */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}

export function spread(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Each round's ratio by itself: what drifts from round to round drops out. */
export function pairedRatio(ours, theirs) {
  return spread(ours.map((value, round) => value / theirs[round]));
}
