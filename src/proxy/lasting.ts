/**
 * What processes tell each other for balancing: how much of their work on each backend has lasted. What has just begun
 * is left out: it will be over before the others hear of it, and all of them would turn to the same backend because of
 * what is not there any more.
 */
import type { LiveBackend } from './backend.ts';
import { backendKey } from './merge.ts';
import type { OpenCount } from './protocol.ts';

/** As long as it takes the others to hear of it. */
const LASTS_MS = 500;

/** Of this process. Backends without any are left out. */
export function lastingIn(backends: Iterable<LiveBackend>, now = performance.now()): OpenCount[] {
  return [...backends].flatMap((backend) => {
    let open = 0;
    // The oldest come first.
    for (const { since } of backend.holds) {
      if (now - since < LASTS_MS) break;
      open += 1;
    }
    return open === 0 ? [] : [{ ...backend.name, open }];
  });
}

/** Added up by backend; those with nothing open are not in it. */
export function summedCounts(counts: Iterable<OpenCount>): ReadonlyMap<string, OpenCount> {
  const sums = new Map<string, OpenCount>();
  for (const { owner, component, id, open } of counts) {
    if (open === 0) continue;
    const key = backendKey({ owner, component, id });
    sums.set(key, { owner, component, id, open: open + (sums.get(key)?.open ?? 0) });
  }
  return sums;
}

/** Who picks a backend goes by what all processes have open on it. */
export function hearElsewhere(
  backends: Iterable<LiveBackend>,
  elsewhere: ReadonlyMap<string, OpenCount>,
): void {
  for (const backend of backends) backend.elsewhere = elsewhere.get(backendKey(backend.name))?.open ?? 0;
}
