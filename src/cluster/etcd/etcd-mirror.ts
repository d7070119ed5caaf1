/**
 * The mirror of a range, kept with etcd: list, open a watch, list what changed meanwhile, then apply events as they
 * come. The watch begins with what is to come, never in the past: so no compaction can end it, and nothing depends
 * on how etcd delivers history. Whatever goes wrong, it all begins anew.
 */
import type { IRangeResponse, IWatchResponse } from 'etcd3';
import { GantryError, messageOf } from '../../errors.ts';
import { type Change, MirrorState } from '../mirror-state.ts';
import type { Entry, FollowOptions, Mirror } from '../store.ts';
import { keepTrying, notify, Once, pause } from '../waiting.ts';
import type { Member } from './etcd-member.ts';
import type { Members } from './etcd-members.ts';
import { changesOf, listingOf, rangeRequest } from './etcd-requests.ts';
import { Watch } from './etcd-watch.ts';

/** A listing comes at least this often; agents of one fleet spread theirs over the last third. */
const RELIST_MS = 30_000;
/** How much later than a listing the events may be that it was ahead of. */
const OWED_MS = 2000;

export class EtcdMirror implements Mirror {
  trouble: string | undefined = 'no answer yet';
  readonly #members: Members;
  readonly #options: FollowOptions;
  readonly #onClose: () => void;
  readonly #state = new MirrorState();
  readonly #listed = new Once();
  readonly #stop = new AbortController();
  #cluster: string | undefined;
  #hasListed = false;

  constructor(members: Members, options: FollowOptions, onClose: () => void) {
    this.#members = members;
    this.#options = options;
    this.#onClose = onClose;
    void keepTrying(this.#stop.signal, () => this.#try());
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.#state.entries;
  }

  get revision(): number {
    return this.#state.revision;
  }

  get current(): boolean {
    return this.trouble === undefined;
  }

  listed(signal: AbortSignal): Promise<void> {
    return this.#listed.happened(signal);
  }

  close(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.trouble = 'closed';
    this.#onClose();
  }

  async #try(): Promise<void> {
    const member = this.#members.preferred();
    const standing = new AbortController();
    const stop = () => standing.abort();
    this.#stop.signal.addEventListener('abort', stop);
    try {
      await this.#stand(member, standing.signal);
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      this.#members.avoid(member);
      this.#tell([], messageOf(this.#members.failed(thrown, member)));
    } finally {
      stop();
      this.#stop.signal.removeEventListener('abort', stop);
    }
  }

  /** Throws when the watch ends; returns when `standing` is over. */
  async #stand(member: Member, standing: AbortSignal): Promise<void> {
    const answer = await this.#range(member); // before the watch: it also renews the member's token
    if (standing.aborted) return;
    this.#cluster = answer.header.cluster_id;
    if (this.#hasListed) this.#noteRelist('restart');
    this.#hasListed = true;
    if (this.#state.replace(listingOf(answer))) this.#tell(undefined, this.trouble);
    this.#listed.happen();
    const watch = await this.#watch(member, standing);
    standing.addEventListener('abort', () => watch.end());
    await watch.created(this.#members.timeoutMs);
    await this.#refresh(member, standing);
    this.#state.forgive();
    if (!standing.aborted) this.#tell([], undefined);
    await Promise.race([watch.ended, this.#keepListing(member, standing)]);
  }

  #watch(member: Member, standing: AbortSignal): Promise<Watch> {
    const told = (answer: IWatchResponse) => {
      if (standing.aborted) return;
      const news = changesOf(answer).filter((change) => this.#state.event(change));
      this.#tell([...new Set(news.map(keyOf))], this.trouble);
    };
    return member.open(
      'watch',
      async (client, options) =>
        new Watch(await client.watchClient.watch(options), this.#options.range, told),
      this.#members.timeoutMs,
    );
  }

  async #keepListing(member: Member, standing: AbortSignal): Promise<void> {
    while (!standing.aborted) {
      await pause(RELIST_MS * (1 - Math.random() / 3), standing);
      if (standing.aborted) return;
      await this.#refresh(member, standing);
      if (!this.#state.owed) continue;
      await pause(OWED_MS, standing);
      if (this.#state.owed && !standing.aborted) throw broken('the watch lost events');
    }
  }

  async #refresh(member: Member, standing: AbortSignal): Promise<void> {
    const answer = await this.#range(member, this.#state.unlisted);
    if (standing.aborted) return;
    const outcome = this.#state.refresh(listingOf(answer), Number(answer.count));
    if (outcome === 'changed') this.#tell(undefined, this.trouble);
    if (outcome !== 'unsure') return;
    this.#noteRelist('unsure');
    const full = await this.#range(member);
    if (!standing.aborted && this.#state.merge(listingOf(full))) this.#tell(undefined, this.trouble);
  }

  /** Throws when what answers is not what was followed. */
  async #range(member: Member, newerThan?: number): Promise<IRangeResponse> {
    const { revision } = this.#state;
    const request = rangeRequest(this.#options.range);
    const answer = await member.call(
      'range',
      ({ kv }, options) => kv.range({ ...request, min_mod_revision: newerThan ?? 0 }, options),
      this.#members.timeoutMs,
    );
    if (newerThan === undefined) return answer;
    if (answer.header.cluster_id !== this.#cluster) throw broken('another cluster answers');
    if (Number(answer.header.revision) < revision) throw broken('etcd was restored to an older state');
    return answer;
  }

  #noteRelist(reason: 'restart' | 'unsure'): void {
    this.#members.metrics.add('gantryd_etcd_relists_total', { reason });
  }

  /** `changed`: the keys that have; undefined: any may have. */
  #tell(changed: readonly string[] | undefined, trouble: string | undefined): void {
    const was = this.current;
    this.trouble = trouble;
    if (changed?.length === 0 && was === this.current) return;
    notify(() => this.#options.onChange(changed));
  }
}

function keyOf(change: Change): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}

function broken(why: string): GantryError {
  return new GantryError('cluster-unreachable', why, { retryable: true });
}
