/**
 * Which flows of a backend that left the table the kernel is to end now: all when its process has ended, those on which
 * nothing moves for too long, and one after the other over a time, the most silent first. Ends nothing itself.
 */
import { codeOf } from '../../errors.ts';
import type { LiveBackend } from '../backends/backend.ts';
import type { CarriedFlow } from './carried.ts';

export class KernelLeaving {
  /** When the next is to go, by performance.now(). */
  readonly #nextAt = new WeakMap<LiveBackend, number>();

  /** Each is to be ended at once: a later call may leave it out. */
  due(backend: LiveBackend, now: number): readonly CarriedFlow[] {
    const flows = [...backend.carried.all];
    if (flows.length === 0) return [];
    if (backend.carried.gone || !isThere(backend.address.pid)) return flows;
    if (backend.routed) this.#nextAt.delete(backend);
    if (backend.routed || backend.leave === undefined) return [];
    const { idleTimeoutMs, closeSpreadMs } = backend.leave;
    const isSilent = ({ movedAt }: CarriedFlow) =>
      idleTimeoutMs > 0 &&
      movedAt !== undefined &&
      now - Math.max(movedAt, backend.unroutedAt) >= idleTimeoutMs;
    const silent = flows.filter(isSilent);
    const rest = flows.filter((flow) => !isSilent(flow));
    return closeSpreadMs === 0 ? silent : [...silent, ...this.#spread(backend, rest, closeSpreadMs, now)];
  }

  /** The time that is left is shared by those that are left. */
  #spread(backend: LiveBackend, flows: readonly CarriedFlow[], spreadMs: number, now: number): CarriedFlow[] {
    const bySilence = [...flows].sort((a, b) => (a.movedAt ?? now) - (b.movedAt ?? now));
    const end = backend.unroutedAt + spreadMs;
    // Nobody is known to be silent before a second reading.
    let nextAt =
      this.#nextAt.get(backend) ?? Math.min(end, backend.unroutedAt + spreadMs / (flows.length + 1));
    let count = 0;
    while (count < flows.length && now >= nextAt) {
      count += 1;
      nextAt += Math.max(0, end - nextAt) / (flows.length - count + 1);
    }
    this.#nextAt.set(backend, nextAt);
    return bySilence.slice(0, count);
  }
}

/** One that nobody knows the process of is there. */
function isThere(pid: number | undefined): boolean {
  if (pid === undefined) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}
