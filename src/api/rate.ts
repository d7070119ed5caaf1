/** How often somebody may ask: a bucket of tokens for each, so many of which come back in a second. */
export interface Rate {
  readonly perSecond: number;
  /** At once, after a pause. */
  readonly burst: number;
}

/** Whoever asked longest ago is forgotten beyond them, and begins anew with a full bucket. */
const MAX_KNOWN = 10_000;

export class RateLimit {
  readonly #rate: Rate;
  /** In the order of who asked last. */
  readonly #buckets = new Map<string, { readonly left: number; readonly at: number }>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Takes one of who's. 0: it was there; else the milliseconds until there is one. `now`: of a clock that goes forward. */
  take(who: string, now: number): number {
    const { perSecond, burst } = this.#rate;
    const { left, at } = this.#buckets.get(who) ?? { left: burst, at: now };
    const here = Math.min(burst, left + ((now - at) * perSecond) / 1000);
    const isThere = here >= 1;
    this.#buckets.delete(who);
    this.#buckets.set(who, { left: isThere ? here - 1 : here, at: now });
    if (this.#buckets.size > MAX_KNOWN) this.#forgetOldest();
    return isThere ? 0 : Math.ceil(((1 - here) * 1000) / perSecond);
  }

  #forgetOldest(): void {
    for (const [oldest] of this.#buckets) {
      this.#buckets.delete(oldest);
      return;
    }
  }
}
