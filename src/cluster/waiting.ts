/** Small waits and calls back, none of which can end a process or keep it: pauses, a thing that happens once, trying again. */
import { setTimeout as delay } from 'node:timers/promises';
import { RECONNECT_MAX_MS, RECONNECT_MIN_MS } from './options.ts';

/** A try that lasted this long has stood: the next failure begins with the shortest pause again. */
const STOOD_MS = 10_000;

/** Tries again and again, with pauses that grow and differ, until stopped. `attempt` must not throw. */
export async function keepTrying(stop: AbortSignal, attempt: () => Promise<void>): Promise<void> {
  for (let failures = 0; !stop.aborted; failures++) {
    const since = performance.now();
    await attempt();
    if (performance.now() - since > STOOD_MS) failures = 0;
    await pause(pauseMs(failures), stop);
  }
}

export function pauseMs(failures: number): number {
  const most = Math.min(RECONNECT_MAX_MS, RECONNECT_MIN_MS * 2 ** Math.min(failures, 10));
  return most * (0.5 + Math.random() / 2);
}

/** Ends early when stopped. */
export async function pause(ms: number, stop: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal: stop }).catch(() => {}); // it rejects only for `stop`
}

/** What is thrown by a listener is a defect of the listener: it surfaces, and whoever told it goes on. */
export function notify(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Something that happens once, and who waits for it. */
export class Once {
  #over = false;
  readonly #waiting = new Set<() => void>();

  happen(): void {
    this.#over = true;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /** Rejects when aborted. */
  happened(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#over) return resolve();
      if (signal.aborted) return reject(signal.reason);
      const aborted = () => {
        this.#waiting.delete(done);
        reject(signal.reason);
      };
      const done = () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      signal.addEventListener('abort', aborted, { once: true });
      this.#waiting.add(done);
    });
  }
}
