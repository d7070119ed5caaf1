/**
 * Quantiles of what many slices measured, as one distribution, and how far chance moves them: the slices drawn anew
 * again and again, with replacement (bootstrap). A slice is drawn whole, since what disturbs it disturbs all in it. Pure.
 */

/** Draws, each of which gives one more value; 95 of 100 of them lie in what is told. */
const DRAWS = 1_000;
const [LOW, HIGH] = [0.025, 0.975];

/** `slices`: lists of numbers. */
export class Pool {
  #slices;
  /** All values, greatest first, and of each its slice. */
  #values;
  #origins;

  constructor(slices) {
    const all = slices.flatMap((values, slice) => Array.from(values, (value) => ({ value, slice })));
    all.sort((a, b) => b.value - a.value);
    this.#slices = slices;
    this.#values = all.map(({ value }) => value);
    this.#origins = all.map(({ slice }) => slice);
  }

  get count() {
    return this.#values.length;
  }

  /** `times`: how often each slice counts. From the top: what is asked for most is near it. */
  quantile(share, times = this.#slices.map(() => 1)) {
    const total = this.#slices.reduce((sum, { length }, slice) => sum + length * times[slice], 0);
    const above = total - Math.ceil(total * share);
    let seen = 0;
    for (let i = 0; i < this.#values.length; i++) {
      seen += times[this.#origins[i]];
      if (seen > above) return this.#values[i];
    }
    throw new Error('nothing was measured');
  }
}

/** `value(times)` of the slices as they are, and between which two it lies when they are drawn anew. */
export function drawn(slices, dice, value) {
  const values = Array.from({ length: DRAWS }, () => {
    const times = new Array(slices).fill(0);
    for (let i = 0; i < slices; i++) times[dice.below(slices)] += 1;
    return value(times);
  }).sort((a, b) => a - b);
  const at = (share) => values[Math.round(share * (DRAWS - 1))];
  return { median: value(new Array(slices).fill(1)), min: at(LOW), max: at(HIGH) };
}

/** A new order of these, by chance. */
export function shuffled(all, dice) {
  const rest = [...all];
  return all.map(() => rest.splice(dice.below(rest.length), 1)[0]);
}
