/**
 * The containers that are in a table or held, by owner, component and id: one LiveBackend each, for as long as it is
 * either. Also those that only the kernel still leads clients of, for whoever comes after this process.
 */

import type { LeftBackend } from '../tables/persist.ts';
import type { Backend, LeaveTerms } from '../tables/routes.ts';
import { LiveBackend } from './backend.ts';
import { SETTLED } from './slow-start.ts';
import type { Traffic } from './traffic.ts';

/** What a table says of a backend besides its address. */
export interface BackendTerms {
  readonly leave: LeaveTerms | undefined;
  /** By performance.now(). */
  readonly joinedAt: number;
}

export class Backends {
  readonly #byKey = new Map<string, LiveBackend>();
  readonly #traffic: Traffic;
  readonly #idle: (backend: LiveBackend) => void;

  /** `idle` hears of each that is not routed and is held no more. */
  constructor(traffic: Traffic, idle: (backend: LiveBackend) => void) {
    this.#traffic = traffic;
    this.#idle = idle;
  }

  /** Routed, or still held. */
  get all(): Iterable<LiveBackend> {
    return this.#byKey.values();
  }

  /** The one that exists, or a new one; routed from now on. */
  route(owner: string, component: string, backend: Backend, terms: BackendTerms): LiveBackend {
    const { id, release, ...address } = backend;
    const key = JSON.stringify([owner, component, id]);
    let live = this.#byKey.get(key);
    if (live === undefined) {
      live = new LiveBackend({ owner, component, id }, address, (it) => this.#released(key, it));
      this.#byKey.set(key, live);
    }
    live.traffic = this.#traffic.of(owner, component, release === undefined ? undefined : `${release}`);
    live.route(address, terms.leave, terms.joinedAt);
    return live;
  }

  /** The owner's others get nothing new; who is held by nothing is forgotten. */
  unrouteOthers(owner: string, routed: ReadonlySet<LiveBackend>): void {
    for (const [key, backend] of this.#byKey) {
      if (backend.name.owner !== owner || routed.has(backend)) continue;
      backend.unroute();
      if (backend.open === 0) this.#byKey.delete(key);
    }
    this.#traffic.settle(new Set(Array.from(this.all, ({ traffic }) => traffic)));
  }

  /** Those of which the kernel carries something that no table tells of. */
  get left(): LeftBackend[] {
    const now = performance.now();
    return [...this.all]
      .filter(({ routed, carried }) => !routed && carried.open > 0)
      .map(({ name, address, leave, traffic, unroutedAt }) => ({
        ...name,
        ...address,
        release: traffic.name.release,
        since: Math.round(Date.now() - (now - unroutedAt)),
        ...(leave === undefined ? {} : { leave }),
      }));
  }

  /** What another process had `left`, held until the kernel is read and says otherwise. */
  recall(left: readonly LeftBackend[]): void {
    for (const { owner, component, release, since, leave, ...backend } of left) {
      const number = Number(release);
      const known = Number.isSafeInteger(number) ? { ...backend, release: number } : backend;
      const live = this.route(owner, component, known, { leave, joinedAt: SETTLED });
      live.carried.expect(performance.now());
      live.unroute(performance.now() - Math.max(0, Date.now() - since));
    }
  }

  close(): void {
    for (const backend of this.all) backend.close();
  }

  #released(key: string, backend: LiveBackend): void {
    if (backend.routed) return;
    this.#byKey.delete(key);
    this.#idle(backend);
  }
}
