/**
 * A route as the data plane follows it: the containers behind it, and which of them the next
 * client is led to.
 */
import type { LiveBackend } from './backend.ts';
import type { ProxyLimits } from './routes.ts';

/** What stands behind the listeners of one component in one table. Immutable but for the turn. */
export class LiveRoute {
  readonly backends: readonly LiveBackend[];
  readonly limits: ProxyLimits;
  #turn = 0;

  constructor(backends: readonly LiveBackend[], limits: ProxyLimits) {
    this.backends = backends;
    this.limits = limits;
  }

  /** The backend with the least open on it, in turns among equals; one that could not be dialled comes last. */
  pick(port: number, tried?: ReadonlySet<LiveBackend>): LiveBackend | undefined {
    const count = this.backends.length;
    let best: LiveBackend | undefined;
    for (let step = 0; step < count; step++) {
      const backend = this.backends[(this.#turn + step) % count];
      if (backend === undefined || tried?.has(backend)) continue;
      if (best === undefined || isBetter(backend, best, port)) best = backend;
    }
    this.#turn = count === 0 ? 0 : (this.#turn + 1) % count;
    best?.picked(port);
    return best;
  }
}

function isBetter(a: LiveBackend, b: LiveBackend, port: number): boolean {
  const shunned = b.isShunned(port);
  return a.isShunned(port) === shunned ? a.open < b.open : shunned;
}
