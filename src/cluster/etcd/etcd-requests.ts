/** What gantryd asks of etcd, in etcd's own terms, and its answers in gantryd's. Pure. */
import type { IKeyValue, IRangeRequest, IRangeResponse, ITxnRequest, IWatchResponse } from 'etcd3';
import type { Change } from '../mirror-state.ts';
import type { Condition, Entry, Listing, Range, Write } from '../store.ts';

export function keyRequest(key: string): IRangeRequest {
  return { key: Buffer.from(key) };
}

export function rangeRequest({ from, to }: Range): IRangeRequest {
  return { key: Buffer.from(from), range_end: Buffer.from(to) };
}

export function commitRequest(conditions: readonly Condition[], writes: readonly Write[]): ITxnRequest {
  return {
    compare: conditions.map((condition) => ({
      result: 'Equal',
      key: Buffer.from(condition.key),
      ...('modRevision' in condition
        ? { target: 'Mod', mod_revision: condition.modRevision }
        : { target: 'Create', create_revision: condition.createRevision }),
    })),
    success: writes.map((write) => {
      const key = Buffer.from(write.key);
      if (write.kind === 'delete') return { request_delete_range: { key } };
      return { request_put: { key, value: Buffer.from(write.value), lease: write.lease ?? 0 } };
    }),
  };
}

/**
 * Whether etcd refuses the same commit once it was done: it changes a key that must be at a revision. Revisions never
 * come again; absence does.
 */
export function happensOnce(conditions: readonly Condition[], writes: readonly Write[]): boolean {
  const written = new Set(writes.map(({ key }) => key));
  return conditions.some(
    (condition) => 'modRevision' in condition && condition.modRevision > 0 && written.has(condition.key),
  );
}

export function listingOf(answer: IRangeResponse): Listing {
  return { entries: answer.kvs.map(entryOf), revision: Number(answer.header.revision) };
}

export function entryOf(kv: IKeyValue): Entry {
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
  };
}

export function changesOf({ events }: IWatchResponse): readonly Change[] {
  return events.map(({ type, kv }) =>
    type.toUpperCase() === 'PUT'
      ? { kind: 'put', entry: entryOf(kv) }
      : { kind: 'delete', key: kv.key.toString(), modRevision: Number(kv.mod_revision) },
  );
}
