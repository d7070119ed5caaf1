/**
 * Bounds of waits that other things may end as well. Not AbortSignal.timeout() within AbortSignal.any(): nothing holds
 * the former there, and once the garbage collector has taken it (seen with Node 20) the wait has no end.
 */

/** Aborted `ms` from now, or with the first of the signals. Keeps no process alive. */
export function within(ms: number, ...signals: readonly AbortSignal[]): AbortSignal {
  const over = new AbortController();
  setTimeout(() => over.abort(new DOMException(`${ms} ms are over`, 'TimeoutError')), ms).unref();
  return AbortSignal.any([...signals, over.signal]);
}
