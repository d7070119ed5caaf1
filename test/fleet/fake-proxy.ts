/** A proxy port in memory: tables are kept and reported, nothing listens. Connections are what a test says. */
import type { ProxyPort } from '../../src/agent/proxy-port.ts';
import {
  type AnswerCounts,
  type OwnedTable,
  PROTOCOL_VERSION,
  type ProxyStatus,
} from '../../src/proxy/control/protocol.ts';
import { EMPTY_TABLE, type RouteTable, withBackends, withRoute } from '../../src/proxy/tables/routes.ts';

export class FakeProxy implements ProxyPort {
  readonly #tables = new Map<string, OwnedTable>();
  readonly #listeners = new Set<() => void>();
  /** Open connections by container. */
  readonly open = new Map<string, number>();
  /** What it counts of a canary's containers and of those beside them; undefined: nothing. */
  answers: { readonly canary: AnswerCounts; readonly others: AnswerCounts } | undefined;

  table(owner: string): RouteTable {
    return this.#tables.get(owner)?.table ?? EMPTY_TABLE;
  }

  status = async (owner: string): Promise<ProxyStatus> => {
    const owned = this.#tables.get(owner);
    const backends = (owned?.table.routes ?? []).flatMap((route) =>
      route.backends.map(({ id }) => {
        const open = this.open.get(id) ?? 0;
        const counts = { open, inFlight: open, upgraded: 0, tcp: 0, oldestMs: 0, peers: [] };
        const answers = this.answers?.[route.canary?.backends.includes(id) === true ? 'canary' : 'others'];
        const counted = route.canary === undefined || answers === undefined ? {} : { answers };
        return { owner, component: route.component, id, routed: true, ...counts, ...counted };
      }),
    );
    return {
      ...{ protocol: PROTOCOL_VERSION, version: 'fake', pid: 1, startedAt: '', listeners: [], backends },
      owners: owned === undefined ? [] : [owned],
    };
  };

  setRoute: ProxyPort['setRoute'] = async (owner, component, route, limits, options = {}) => {
    if (options.dryRun === true) return;
    this.#put(owner, { ...withRoute(this.table(owner), component, route), limits });
  };

  unrouteGone: ProxyPort['unrouteGone'] = async (running) => {
    const ids = await running();
    for (const [owner, { table }] of this.#tables) {
      const next = withBackends(table, (id) => ids.has(id));
      if (next !== table) this.#put(owner, next);
    }
  };

  watch: ProxyPort['watch'] = (_, listener, signal) => {
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  };

  #put(owner: string, table: RouteTable): void {
    this.#tables.set(owner, { owner, revision: (this.#tables.get(owner)?.revision ?? 0) + 1, table });
    for (const listener of [...this.#listeners]) queueMicrotask(listener);
  }
}
