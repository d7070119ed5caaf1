/**
 * What one address is still to be told: one after the other, each tried again for a while, and no more than a bounded
 * number waiting. That something was not told is told once, until it works again.
 */

import type { Posted } from '../../checks/webhook.ts';
import { pause } from '../../poke.ts';

/** That wait for one address. */
export const MAX_WAITING = 100;
/** Of one delivery. */
export const MAX_TRIES = 6;
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 30_000;

export interface DeliveriesInput<T> {
  /** Never throws. */
  readonly send: (delivery: T, signal: AbortSignal) => Promise<Posted>;
  /** Called once for each time that it begins not to work; `why`: a fragment. */
  readonly onLost: (why: string) => void;
  readonly signal: AbortSignal;
  /** For tests. */
  readonly againMs?: number;
}

export class Deliveries<T> {
  readonly #input: DeliveriesInput<T>;
  #waiting: T[] = [];
  #running: Promise<void> | undefined;
  #isLosing = false;

  constructor(input: DeliveriesInput<T>) {
    this.#input = input;
  }

  add(delivery: T): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#waiting.shift();
      this.#lost(`more than ${MAX_WAITING} wait for it`);
    }
    this.#waiting.push(delivery);
    this.#running ??= this.#run();
  }

  /** Nothing waits any more, or it was aborted. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#input;
    for (
      let next = this.#waiting.shift();
      next !== undefined && !signal.aborted;
      next = this.#waiting.shift()
    ) {
      const why = await this.#deliver(next, signal);
      if (why === undefined) this.#isLosing = false;
      else if (!signal.aborted) this.#lost(why);
    }
    this.#running = undefined;
  }

  /** Answers why it was given up. */
  async #deliver(delivery: T, signal: AbortSignal): Promise<string | undefined> {
    const { send, againMs = AGAIN_MS } = this.#input;
    for (let tries = 1; ; tries++) {
      const posted = await send(delivery, signal);
      if (posted.ok) return undefined;
      if (!posted.again || signal.aborted) return posted.why;
      if (tries === MAX_TRIES) return `${posted.why}, ${MAX_TRIES} times`;
      await pause(Math.min(againMs * 2 ** (tries - 1), AGAIN_MAX_MS), signal);
    }
  }

  #lost(why: string): void {
    if (!this.#isLosing) this.#input.onLost(why);
    this.#isLosing = true;
  }
}
