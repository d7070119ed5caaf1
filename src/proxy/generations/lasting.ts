/**
 * What processes tell each other for balancing: connections, and requests that have lasted. A request that has just begun
 * is left out: it will be over before the others hear of it, and all of them would turn to the same backend because of
 * what is not there any more.
 */
import type { LiveBackend } from '../backends/backend.ts';
import { backendKey } from '../control/merge.ts';
import type { OpenCount } from '../control/protocol.ts';

/** A request that has taken so long, until the others hear of it, is likely to take longer. */
const LASTS_MS = 500;

/** Of this process. Backends without any are left out. */
export function lastingIn(backends: Iterable<LiveBackend>, now = performance.now()): OpenCount[] {
  return [...backends].flatMap((backend) => {
    const { tcp, upgraded } = backend.kinds;
    const open = tcp + upgraded + longRequests(backend, now);
    return open === 0 ? [] : [{ ...backend.name, open }];
  });
}

function longRequests({ holds }: LiveBackend, now: number): number {
  let count = 0;
  // The oldest come first.
  for (const { kind, since } of holds) {
    if (now - since < LASTS_MS) break;
    if (kind === 'request') count += 1;
  }
  return count;
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
