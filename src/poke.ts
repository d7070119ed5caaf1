/** Pokes, and pauses that an abort ends. */

/** A poke without data: wakes whoever waits; pokes coalesce, and one that comes early is not lost. */
export class Poke {
  #poked = false;
  #wake: (() => void) | undefined;

  /** Whether a poke came since the last clear. */
  get poked(): boolean {
    return this.#poked;
  }

  poke(): void {
    this.#poked = true;
    this.#wake?.();
  }

  /** Forgets pokes so far: what they hinted at is about to be looked at. */
  clear(): void {
    this.#poked = false;
  }

  /** Until poked, `ms` passed or aborted; never throws. One waiter at a time. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#poked || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end, { once: true });
      this.#wake = end;
    });
  }
}

/** Until `ms` passed or aborted; never throws. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Poke().wait(ms, signal);
}
