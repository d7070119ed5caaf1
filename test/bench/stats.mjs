/** Medians, ranges and paired ratios of what the rounds measured. Pure. */

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function spread(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Each round's ratio by itself: what drifts from round to round drops out. */
export function pairedRatio(ours, theirs) {
  return spread(ours.map((value, round) => value / theirs[round]));
}
