/**
 * A deadline around one call of the engine. The call gets a signal to tear its request down, and the race
 * ends even when the call never settles: docker-modem forgets calls whose answer breaks off mid-body.
 */
import { GantryError } from '../errors.ts';

export interface Limit {
  /** What the engine is asked, as `list the containers`. */
  readonly what: string;
  readonly timeoutMs: number;
  /** Where the engine is. */
  readonly address: string;
  /** Ends the call early, with the signal's reason. */
  readonly until?: readonly AbortSignal[];
}

/** The signal given to `run` is aborted when the call is over, however it ended. */
export async function within<T>(limit: Limit, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const ends: (() => void)[] = [];
  const cut = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(overdue(limit)), limit.timeoutMs);
    ends.push(() => clearTimeout(timer));
    for (const signal of limit.until ?? []) ends.push(onAbort(signal, () => reject(signal.reason)));
  });
  try {
    return await Promise.race([run(controller.signal), cut]);
  } finally {
    for (const end of ends) end();
    controller.abort();
  }
}

/** Calls back at once when aborted already. Answers how to take the listener away again. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) listener();
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

function overdue({ what, timeoutMs, address }: Limit): GantryError {
  const message = `The Docker engine at ${address} did not ${what} within ${timeoutMs / 1000} s.`;
  return new GantryError('engine-timeout', message, {
    retryable: true,
    hint: 'It may be overloaded or hang; its own log tells more.',
  });
}
