/** The time that hosts of jobs go by: what people call it, how much of it passes, and what is to be done after some. */
import { steadyNow } from '../clock.ts';

export interface JobClock {
  /** Epoch milliseconds, as the machine's clock says; it may be set. */
  wall(): number;
  /** Milliseconds since some moment; nobody sets it. */
  steady(): number;
  /** Calls back once; answers how to prevent it. */
  after(delayMs: number, run: () => void): () => void;
}

export function jobClock(wall: () => number): JobClock {
  return {
    wall: () => Math.round(wall()), // what is written is whole milliseconds
    steady: steadyNow,
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs);
      return () => clearTimeout(timer);
    },
  };
}

/** Until `ms` passed or aborted; never throws. */
export function rest(clock: JobClock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      stop();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const stop = clock.after(ms, end);
    signal.addEventListener('abort', end, { once: true });
  });
}
