/** What holds the backends of this process, told one by one, and cut on an operator's word. */
import { GantryError } from '../../errors.ts';
import type { CutRequest, HoldReport } from '../control/protocol.ts';
import type { LiveBackend } from './backend.ts';

const MAX_REPORTED = 10_000;

/** Of one owner, or of all. */
export function holdReports(backends: Iterable<LiveBackend>, owner?: string): HoldReport[] {
  const now = performance.now();
  const mine = [...backends].filter(({ name }) => owner === undefined || name.owner === owner);
  return oldestFirst(
    mine.map((backend) => {
      const { owner, component, id } = backend.name;
      const of = { owner, component, backend: id, pid: process.pid, routed: backend.routed };
      const carried = backend.carried.peers(now).map((peer) => ({ ...of, ...peer, pid: 0 }));
      return [...Array.from(backend.holds, (hold) => ({ ...of, ...hold.peer(now) })), ...carried];
    }),
  );
}

/** Of several processes or backends as one, cut off at what an answer may have. */
export function oldestFirst(reports: readonly (readonly HoldReport[])[]): HoldReport[] {
  return reports
    .flat()
    .sort((a, b) => b.ageMs - a.ageMs)
    .slice(0, MAX_REPORTED);
}

/** Ends what the request means and answers how many that were. */
export function cutHolds(backends: Iterable<LiveBackend>, request: CutRequest): number {
  const { owner, backend: id, client, idleMs = 0 } = request;
  const now = performance.now();
  const holds = [...backends]
    .filter(({ name }) => name.owner === owner && name.id === id)
    .flatMap((backend) => [...backend.holds]);
  const meant = holds.filter((hold) => {
    const peer = hold.peer(now);
    return (client === undefined || peer.client === client) && peer.idleMs >= idleMs;
  });
  return meant.filter((hold) => hold.end()).length;
}

/** Throws GantryError proxy-failed when it is none. */
export function cutRequest(value: unknown): CutRequest {
  const { owner, backend, client, idleMs } = (value ?? {}) as Partial<Record<keyof CutRequest, unknown>>;
  const isText = (it: unknown): it is string => typeof it === 'string' && it !== '';
  const isCount = (it: unknown): it is number => Number.isSafeInteger(it) && Number(it) >= 0;
  if (!isText(owner) || !isText(backend)) throw invalid('it names `owner` and `backend`');
  if (client !== undefined && !isText(client)) throw invalid('`client` is an address and port');
  if (idleMs !== undefined && !isCount(idleMs)) throw invalid('`idleMs` is a whole number, 0 or more');
  return {
    ...{ owner, backend },
    ...(client === undefined ? {} : { client }),
    ...(idleMs === undefined ? {} : { idleMs }),
  };
}

function invalid(why: string): GantryError {
  return new GantryError('proxy-failed', `what is to be cut is not clear: ${why}`);
}
