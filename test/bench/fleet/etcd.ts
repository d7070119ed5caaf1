/** The benchmark's etcd, which flushes to disk as one in production does, and what its members tell of themselves. */

import { type Etcd, startEtcd } from '../../ground/etcd.ts';
import type { Cleanup } from '../../ground/harness.ts';

const ASK_MS = 5_000;
/** A member ends with the process that started it, also when that is killed. */
const BOUND = ['setpriv', '--pdeathsig', 'KILL', '--'];

/** Totals since the start, summed over the members where each counts its own. */
export interface EtcdTotals {
  /** By gRPC method; of a stream: how often one was opened. */
  readonly requests: Readonly<Record<string, number>>;
  /** Keys written, as one member counts them. */
  readonly puts: number;
  readonly deletes: number;
  /** Messages sent to watchers. */
  readonly watchMessages: number;
  readonly eventsSent: number;
  readonly cpuMs: number;
  readonly rss: number;
  readonly dbBytes: number;
}

export function startBenchEtcd(t: Cleanup, members: 1 | 3, prefix: readonly string[] = []): Promise<Etcd> {
  return startEtcd(t, { members, flushes: true, prefix: [...prefix, ...BOUND] });
}

export async function etcdTotals(etcd: Etcd): Promise<EtcdTotals> {
  const members = await Promise.all(etcd.endpoints.map(samplesOf));
  const all = members.flat();
  const sum = (name: string, from: readonly Sample[] = all) =>
    from.filter((s) => s.name === name).reduce((total, { value }) => total + value, 0);
  const requests: Record<string, number> = {};
  for (const { name, labels, value } of all) {
    const method = /grpc_method="(\w+)"/.exec(labels)?.[1];
    if (name !== 'grpc_server_started_total' || method === undefined || value === 0) continue;
    requests[method] = (requests[method] ?? 0) + value;
  }
  const watch = all.filter((s) => s.labels.includes('grpc_method="Watch"'));
  return {
    requests,
    puts: sum('etcd_debugging_mvcc_put_total', members[0]),
    deletes: sum('etcd_debugging_mvcc_delete_total', members[0]),
    watchMessages: sum('grpc_server_msg_sent_total', watch),
    eventsSent: sum('etcd_debugging_mvcc_events_total'),
    cpuMs: sum('process_cpu_seconds_total') * 1000,
    rss: sum('process_resident_memory_bytes'),
    dbBytes: sum('etcd_mvcc_db_total_size_in_bytes', members[0]),
  };
}

export function requestsIn({ requests }: EtcdTotals): number {
  return Object.values(requests).reduce((total, value) => total + value, 0);
}

interface Sample {
  readonly name: string;
  readonly labels: string;
  readonly value: number;
}

/** In the text format of Prometheus. */
async function samplesOf(endpoint: string): Promise<readonly Sample[]> {
  const answer = await fetch(`${endpoint}/metrics`, { signal: AbortSignal.timeout(ASK_MS) });
  if (!answer.ok) throw new Error(`${endpoint}/metrics answered ${answer.status}`);
  const lines = (await answer.text()).split('\n');
  return lines.flatMap((line) => {
    const [, name, labels = '', value] = /^(\w+)(\{.*\})? (\S+)$/.exec(line) ?? [];
    return name === undefined ? [] : [{ name, labels, value: Number(value) }];
  });
}
