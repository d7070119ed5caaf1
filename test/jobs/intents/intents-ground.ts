/** The ground of the tests of what people ask about jobs: a memory store, and what hosts would do, done by hand. */
import { type AuditValue, readAudit } from '../../../src/cluster/event-values.ts';
import type { RunValue } from '../../../src/cluster/job-values.ts';
import { keys } from '../../../src/cluster/keys.ts';
import type { Store } from '../../../src/cluster/store.ts';
import type { JobFleet } from '../../../src/jobs/job-fleet.ts';
import { claimed, ended, endWrites } from '../../../src/jobs/runs.ts';
import { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { AT, anEnd } from '../job-values.ts';

export const KEYS = keys();
export const AT_KEYS = KEYS.project('shop');
export const NO_INPUT = { input: { kind: 'none' } } as const;

export interface Ground {
  readonly cluster: MemoryCluster;
  readonly store: MemoryStore;
  readonly fleet: JobFleet;
  /** What `now` answers. */
  readonly clock: { at: number };
}

export function ground(): Ground {
  const cluster = new MemoryCluster();
  const store = new MemoryStore(cluster);
  const clock = { at: AT };
  return { cluster, store, clock, fleet: fleetOn(store, clock) };
}

export function fleetOn(store: Store, clock: { readonly at: number } = { at: AT }): JobFleet {
  return { store, keys: KEYS, project: 'shop', by: 'ann@desk', now: () => clock.at };
}

/** A host claims it. */
export function claim(cluster: MemoryCluster, run: RunValue): RunValue {
  const running = claimed(run, { host: 'h1', hostId: 'id-1', at: AT });
  putIn(cluster, AT_KEYS.jobs.run(run.id), running);
  return running;
}

/** Its host ends it. */
export function end(cluster: MemoryCluster, run: RunValue): RunValue {
  const over = ended(run, anEnd({ exitCode: 0 }), AT).run;
  cluster.commit([], endWrites(AT_KEYS, over));
  return over;
}

export function putIn(cluster: MemoryCluster, key: string, value: object): void {
  cluster.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]);
}

/** But of the audit. */
export function keysIn(cluster: MemoryCluster): readonly string[] {
  const all = cluster.list({ from: '/', to: '0' }).entries.map(({ key }) => key);
  return all.filter((key) => !key.startsWith(AT_KEYS.audit().from));
}

/** Who asked for what, in the order of their keys. */
export function auditIn(cluster: MemoryCluster): readonly AuditValue[] {
  return cluster.list(AT_KEYS.audit()).entries.flatMap((entry) => readAudit(entry) ?? []);
}
