/**
 * The coordinator's contract, kept with etcd (3.4 and newer) through etcd3. This folder alone knows either; load it
 * late, since etcd3 takes a tenth of a second.
 */
import type { CallOptions } from '@grpc/grpc-js';
import type { Etcd3, IRangeRequest } from 'etcd3';
import type { StoreOptions } from '../options.ts';
import type {
  Committed,
  Condition,
  Entry,
  FollowOptions,
  Listing,
  Mirror,
  Range,
  Session,
  SessionOptions,
  Store,
  Write,
} from '../store.ts';
import { Members } from './etcd-members.ts';
import { EtcdMirror } from './etcd-mirror.ts';
import { commitRequest, entryOf, happensOnce, keyRequest, listingOf, rangeRequest } from './etcd-requests.ts';
import { EtcdSession } from './etcd-session.ts';

/** Does no I/O: whether etcd is there shows with the first call. Throws `usage` for addresses or PEMs that are none. */
export function openStore(options: StoreOptions): Store {
  return new EtcdStore(new Members(options));
}

class EtcdStore implements Store {
  readonly #members: Members;
  readonly #sessions = new Set<Session>();
  readonly #mirrors = new Set<Mirror>();
  #closing: Promise<void> | undefined;

  constructor(members: Members) {
    this.#members = members;
  }

  async get(key: string): Promise<Entry | undefined> {
    const [found] = (await this.#range(keyRequest(key))).kvs;
    return found && entryOf(found);
  }

  async list(range: Range, limit?: number): Promise<Listing> {
    const request = rangeRequest(range);
    return listingOf(await this.#range(limit === undefined ? request : { ...request, limit }));
  }

  async count(range: Range): Promise<number> {
    return Number((await this.#range({ ...rangeRequest(range), count_only: true })).count);
  }

  async commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<Committed> {
    const request = commitRequest(conditions, writes);
    const ask = ({ kv }: Etcd3, options: CallOptions) => kv.txn(request, options);
    const isOnce = happensOnce(conditions, writes);
    const answer = await (isOnce ? this.#members.insist('txn', ask) : this.#members.write('txn', ask));
    return { done: answer.succeeded, revision: Number(answer.header.revision) };
  }

  session(options: SessionOptions): Session {
    const session = new EtcdSession(this.#members, options, () => this.#sessions.delete(session));
    this.#sessions.add(session);
    return session;
  }

  follow(options: FollowOptions): Mirror {
    const mirror = new EtcdMirror(this.#members, options, () => this.#mirrors.delete(mirror));
    this.#mirrors.add(mirror);
    return mirror;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const mirror of this.#mirrors) mirror.close();
    await Promise.all([...this.#sessions].map((session) => session.close()));
    this.#members.close();
  }

  #range(request: IRangeRequest) {
    return this.#members.read('range', ({ kv }: Etcd3, options: CallOptions) => kv.range(request, options));
  }
}
