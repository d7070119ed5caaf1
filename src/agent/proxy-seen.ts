/** What the proxy's status says of one component and its containers. Pure. */
import type { BackendReport, ProxyStatus } from '../proxy/control/protocol.ts';
import { type Route, routeOf } from '../proxy/tables/routes.ts';
import { answersOf } from './plan/canary.ts';
import type { ContainerId, Observed } from './plan/state.ts';

export function tableRoute(status: ProxyStatus, owner: string, component: string) {
  const owned = status.owners.find((o) => o.owner === owner);
  return owned === undefined ? undefined : routeOf(owned.table, component);
}

export function splitSeen(
  { backends }: ProxyStatus,
  component: string,
  route: Route | undefined,
): Pick<Observed, 'split' | 'answers'> {
  const split = route?.canary;
  return split === undefined ? {} : { split, answers: answersOf(backends, component, split) };
}

export function heldBy(status: ProxyStatus, id: ContainerId): BackendReport | undefined {
  return status.backends.find((b) => b.id === id);
}

export function describe(held: BackendReport | undefined): string {
  if (held === undefined) return 'nothing';
  const noun = held.open === 1 ? 'connection' : 'connections';
  return `${held.open} ${noun}, the oldest for ${Math.round(held.oldestMs / 1000)} s`;
}
