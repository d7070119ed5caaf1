/** How many processes carry a host's clients, and what of a table's limits is for each of them. Pure. */
import { availableParallelism } from 'node:os';
import type { ProxyLimits, RouteTable } from '../tables/routes.ts';

export const MAX_WORKERS = 64;

/** Of `of` equal processes, the one at this place, from 0. */
export interface Share {
  readonly of: number;
  readonly at: number;
}

export const WHOLE: Share = { of: 1, at: 0 };

/** How many processes these tables ask for together: as many as the one that asks for most. */
export function workersWanted(
  tables: Iterable<{ readonly table: { readonly limits: Pick<ProxyLimits, 'workers'> } }>,
  cores: number = availableParallelism(),
): number {
  let most = 1;
  for (const { table } of tables) {
    const { workers = 1 } = table.limits;
    most = Math.max(most, workers === 'auto' ? cores : workers);
  }
  return Math.min(most, MAX_WORKERS);
}

/**
 * The table as one of several processes leads by it: what is counted per host is divided, so that all together keep
 * the limit. Less than one for each cannot be: then each has one.
 */
export function divided(table: RouteTable, share: Share): RouteTable {
  if (share.of === 1) return table;
  const { limits, routes } = table;
  return {
    limits: { ...limits, maxConnections: partOf(limits.maxConnections, share) },
    routes: routes.map((route) => {
      const { hold } = route;
      return hold === undefined ? route : { ...route, hold: { ...hold, max: partOf(hold.max, share) } };
    }),
  };
}

/** 0 stays what it is: no limit, or nobody. */
function partOf(whole: number, { of, at }: Share): number {
  if (whole === 0) return 0;
  return Math.max(1, Math.floor(whole / of) + (at < whole % of ? 1 : 0));
}
