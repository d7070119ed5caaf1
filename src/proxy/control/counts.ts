/** What a proxy process has counted and carries; of several as one; of one owner alone. Pure. */
import type { LiveBackend } from '../backends/backend.ts';
import type { Traffic } from '../backends/traffic.ts';
import type { DrainReport, OpenReport, ProxyCounts, TrafficReport } from './protocol.ts';

export const NO_COUNTS: ProxyCounts = { traffic: [], open: [], drains: [] };

/** Of one process: `backends` are those that are in the table or held. */
export function countsIn(traffic: Traffic, backends: Iterable<LiveBackend>): ProxyCounts {
  const all = [...backends];
  const now = performance.now();
  const open = all.map(({ traffic: { name }, routed, kinds, carried }): OpenReport => {
    const { request: inFlight, upgraded, tcp } = kinds;
    const { udp } = carried;
    return { ...name, routed, inFlight, upgraded, tcp: tcp + carried.tcp, ...(udp === 0 ? {} : { udp }) };
  });
  const drains = all.flatMap((backend): DrainReport[] => {
    const ageMs = backend.drainsForMs(now);
    const { owner, component, id } = backend.name;
    return ageMs === undefined ? [] : [{ owner, component, backend: id, ageMs: Math.round(ageMs) }];
  });
  return mergedCounts([{ traffic: traffic.reports(), open, drains }]);
}

/** Summed; a container that several of them drain is one drain, as old as the oldest. */
export function mergedCounts(all: readonly ProxyCounts[]): ProxyCounts {
  return {
    traffic: mergedTraffic(all.flatMap(({ traffic }) => traffic)),
    open: merged(
      all.flatMap(({ open }) => open),
      (o) => [o.owner, o.component, o.release, o.routed],
      sumOpen,
    ),
    drains: merged(
      all.flatMap(({ drains }) => drains),
      (d) => [d.owner, d.component, d.backend],
      older,
    ),
  };
}

export function mergedTraffic(all: readonly TrafficReport[]): readonly TrafficReport[] {
  return merged(all, (t) => [t.owner, t.component, t.release], sumTraffic);
}

export function countsOf({ traffic, open, drains }: ProxyCounts, owner: string | undefined): ProxyCounts {
  if (owner === undefined) return { traffic, open, drains };
  const mine = (of: { readonly owner: string }) => of.owner === owner;
  return { traffic: traffic.filter(mine), open: open.filter(mine), drains: drains.filter(mine) };
}

function merged<T>(
  all: readonly T[],
  keyOf: (value: T) => readonly unknown[],
  sum: (a: T, b: T) => T,
): readonly T[] {
  const byKey = new Map<string, T>();
  for (const value of all) {
    const key = JSON.stringify(keyOf(value));
    const known = byKey.get(key);
    byKey.set(key, known === undefined ? value : sum(known, value));
  }
  return [...byKey.values()];
}

function sumTraffic(a: TrafficReport, b: TrafficReport): TrafficReport {
  return {
    ...a,
    answers: added(a.answers, b.answers),
    latency: added(a.latency, b.latency),
    tookMs: a.tookMs + b.tookMs,
    tcp: a.tcp + b.tcp,
    dialFailures: a.dialFailures + b.dialFailures,
    held: a.held + b.held,
    refused: a.refused + b.refused,
  };
}

function sumOpen(a: OpenReport, b: OpenReport): OpenReport {
  const udp = (a.udp ?? 0) + (b.udp ?? 0);
  return {
    ...a,
    inFlight: a.inFlight + b.inFlight,
    upgraded: a.upgraded + b.upgraded,
    tcp: a.tcp + b.tcp,
    ...(udp === 0 ? {} : { udp }),
  };
}

function older(a: DrainReport, b: DrainReport): DrainReport {
  return a.ageMs >= b.ageMs ? a : b;
}

function added(a: readonly number[], b: readonly number[]): readonly number[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, at) => (a[at] ?? 0) + (b[at] ?? 0));
}
