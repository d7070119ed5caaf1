/**
 * Something that is looked at again and again: when it is poked, and when it asked to be. Pokes carry no data and
 * coalesce; one that comes during a look is followed by another look.
 */
import type { JobClock } from './job-clock.ts';

/** After a look that failed: pokes do not shorten it, so that a store in trouble is not hammered. */
const RETRY_MS = 250;
const MAX_RETRY_MS = 4_000;

export interface RoundsInput {
  /** Answers after how many milliseconds it wants to look again without a poke. */
  readonly look: () => Promise<number>;
  readonly onTrouble: (error: unknown) => void;
  readonly clock: JobClock;
}

export class Rounds {
  readonly #input: RoundsInput;
  #poked = false;
  #wake: (() => void) | undefined;

  constructor(input: RoundsInput) {
    this.#input = input;
  }

  poke(): void {
    this.#poked = true;
    this.#wake?.();
  }

  /** Until aborted; a look that is under way is awaited. */
  async run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      this.#poked = false;
      try {
        const restMs = await this.#input.look();
        failures = 0;
        await this.#rest(restMs, signal, { heedsPokes: true });
      } catch (error) {
        this.#input.onTrouble(error);
        const pauseMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(failures++, 10));
        await this.#rest(pauseMs, signal, { heedsPokes: false });
      }
    }
  }

  #rest(ms: number, signal: AbortSignal, { heedsPokes }: { readonly heedsPokes: boolean }): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || (heedsPokes && this.#poked)) return resolve();
      const end = () => {
        stop();
        signal.removeEventListener('abort', end);
        this.#wake = undefined;
        resolve();
      };
      const stop = this.#input.clock.after(ms, end);
      signal.addEventListener('abort', end, { once: true });
      if (heedsPokes) this.#wake = end;
    });
  }
}

/** All are awaited; the first failure is thrown. */
export async function settled(all: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(all)).find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
