/** Milliseconds of many answers, kept without garbage while they are measured. */

const AT_FIRST = 65_536;

export class Latencies {
  #values = new Float64Array(AT_FIRST);
  #count = 0;

  add(ms) {
    if (this.#count === this.#values.length) {
      const more = new Float64Array(2 * this.#count);
      more.set(this.#values);
      this.#values = more;
    }
    this.#values[this.#count++] = ms;
  }

  get count() {
    return this.#count;
  }

  /** In the words of wrk.mjs. Throws when nothing was measured. */
  result(ms) {
    if (this.#count === 0) throw new Error('nothing was answered');
    return {
      ...{ requests: this.#count, seconds: ms / 1_000, perSecond: (this.#count * 1_000) / ms },
      ...{ p50us: this.quantile(0.5) * 1_000, p99us: this.quantile(0.99) * 1_000 },
    };
  }

  quantile(share) {
    const sorted = this.#values.slice(0, this.#count).sort();
    return sorted[Math.max(0, Math.ceil(this.#count * share) - 1)] ?? 0;
  }
}
