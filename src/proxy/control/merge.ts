/** Counts of several proxy processes as one. Pure. */
import { mergedAnswers } from '../backends/answers.ts';
import type { BackendReport } from './protocol.ts';

const MAX_PEERS = 20;

export function backendKey({
  owner,
  component,
  id,
}: Pick<BackendReport, 'owner' | 'component' | 'id'>): string {
  return JSON.stringify([owner, component, id]);
}

/** Sums what several generations report of each backend. Whether one is routed, only the first of them says. */
export function mergeReports(
  own: readonly BackendReport[],
  others: readonly (readonly BackendReport[])[],
): BackendReport[] {
  const merged = new Map(own.map((report) => [backendKey(report), report]));
  for (const report of others.flat()) {
    const known = merged.get(backendKey(report));
    merged.set(backendKey(report), known === undefined ? { ...report, routed: false } : sum(known, report));
  }
  return [...merged.values()];
}

function sum(a: BackendReport, b: BackendReport): BackendReport {
  const answers = [a.answers ?? [], b.answers ?? []].flat();
  const [udp, kernel] = [(a.udp ?? 0) + (b.udp ?? 0), (a.kernel ?? 0) + (b.kernel ?? 0)];
  return {
    ...a,
    open: a.open + b.open,
    inFlight: a.inFlight + b.inFlight,
    upgraded: a.upgraded + b.upgraded,
    tcp: a.tcp + b.tcp,
    oldestMs: Math.max(a.oldestMs, b.oldestMs),
    peers: [...a.peers, ...b.peers].sort((x, y) => y.ageMs - x.ageMs).slice(0, MAX_PEERS),
    ...(udp === 0 ? {} : { udp }),
    ...(kernel === 0 ? {} : { kernel }),
    ...(answers.length === 0 ? {} : { answers: mergedAnswers(answers) }),
  };
}
