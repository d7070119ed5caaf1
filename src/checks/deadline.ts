/** A bound on how long a promise is waited for. The work itself is not stopped; its late outcome is dropped. */

export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'aborted' };

export function within<T>(
  work: () => Promise<T>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Outcome<T>> {
  if (signal.aborted) return Promise.resolve({ kind: 'aborted' });
  return new Promise((resolve) => {
    const end = (outcome: Outcome<T>) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const onAbort = () => end({ kind: 'aborted' });
    const timer = setTimeout(() => end({ kind: 'timeout' }), timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    started(work).then(
      (value) => end({ kind: 'done', value }),
      (error: unknown) => end({ kind: 'failed', error }),
    );
  });
}

/** A synchronous throw counts as a rejection. */
async function started<T>(work: () => Promise<T>): Promise<T> {
  return await work();
}
