/**
 * A lease on etcd that is kept alive. The time for which it is held is counted here, from when the renewal that was
 * answered was sent, so that a process that was stopped, or cut off, knows before anybody tells it. etcd3's own lease
 * counts from the answer, by the wall clock, and for twice the time.
 */
import type { CallOptions } from '@grpc/grpc-js';
import type { Etcd3 } from 'etcd3';
import { untilTogether } from '../../clock.ts';
import type { Session, SessionOptions } from '../store.ts';
import { notify, pause, pauseMs } from '../waiting.ts';
import type { Members } from './etcd-members.ts';

/** Of the time to live: room for clocks that run at different speed and for what is under way when it ends. */
const MARGIN = 0.1;
/** Renewals in one time to live. */
const RENEWALS = 3;
const SHORTEST_CALL_MS = 500;
/** What cannot be told in this time ends by itself. */
const CLOSE_MS = 1500;

interface Held {
  readonly lease: string;
  readonly until: number;
}

export class EtcdSession implements Session {
  readonly #members: Members;
  readonly #options: SessionOptions;
  readonly #onClose: () => void;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #held: Held | undefined;
  #toldHeld = false;
  #abandoned = false;
  #end: NodeJS.Timeout | undefined;

  constructor(members: Members, options: SessionOptions, onClose: () => void) {
    this.#members = members;
    this.#options = options;
    this.#onClose = onClose;
    this.#ended = this.#run();
  }

  lease(): string | undefined {
    return this.heldForMs() > 0 ? this.#held?.lease : undefined;
  }

  heldForMs(): number {
    if (this.#stop.signal.aborted) return 0;
    return Math.max(0, (this.#held?.until ?? 0) - performance.now());
  }

  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) this.#onClose();
    this.#stop.abort();
    clearTimeout(this.#end);
    const late = new AbortController();
    await Promise.race([this.#ended, pause(CLOSE_MS, late.signal)]);
    late.abort();
  }

  abandon(): void {
    this.#abandoned = true;
    void this.close();
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal;
    for (let failures = 0; !stop.aborted; ) {
      this.#tell(); // a process that was stopped tells the loss before it asks for a new lease
      const sentAt = performance.now();
      const answered = await this.#renew(sentAt).then(
        () => true,
        () => false,
      );
      this.#tell();
      failures = answered ? 0 : failures + 1;
      if (answered && this.#held === undefined) continue; // it had ended: a new one at once
      const everyMs = this.#options.ttlMs / RENEWALS;
      const nextMs = answered ? untilTogether(everyMs, sentAt) : Math.min(everyMs, pauseMs(failures));
      await pause(Math.max(0, sentAt + nextMs - performance.now()), stop);
    }
    if (!this.#abandoned) await this.#revoke(this.#held);
  }

  /** Renews the lease that is held, or has a new one granted. Throws when etcd does not answer. */
  async #renew(sentAt: number): Promise<void> {
    const { ttlMs } = this.#options;
    const timeoutMs = Math.max(SHORTEST_CALL_MS, ttlMs / RENEWALS);
    const until = sentAt + ttlMs * (1 - MARGIN);
    const lease = this.lease();
    if (lease === undefined) {
      const old = this.#held;
      const TTL = Math.ceil(ttlMs / 1000);
      const grant = (client: Etcd3, options: CallOptions) => client.leaseClient.leaseGrant({ TTL }, options);
      const granted = await this.#members.read('lease-grant', grant, timeoutMs);
      this.#held = { lease: granted.ID, until };
      await this.#revoke(old); // etcd may have kept it: what is written under the new one must not meet its keys
    } else {
      const renew = (client: Etcd3, options: CallOptions) => renewed(client, lease, options);
      const lives = await this.#members.read('lease-renew', renew, timeoutMs);
      this.#held = lives ? { lease, until } : undefined;
    }
  }

  async #revoke(held: Held | undefined): Promise<void> {
    if (held === undefined) return;
    const revoke = (client: Etcd3, options: CallOptions) =>
      client.leaseClient.leaseRevoke({ ID: held.lease }, options);
    await this.#members.read('lease-revoke', revoke, SHORTEST_CALL_MS).catch(() => {}); // gone, or it will be
  }

  #tell(): void {
    clearTimeout(this.#end);
    if (this.#stop.signal.aborted) return;
    const leftMs = this.heldForMs();
    if (leftMs > 0) this.#end = setTimeout(() => this.#tell(), Math.ceil(leftMs));
    if (this.#toldHeld === leftMs > 0) return;
    this.#toldHeld = leftMs > 0;
    notify(this.#options.onChange);
  }
}

/** False: the lease has ended. On a stream of its own, so that one that hangs is noticed and the next try is free. */
async function renewed(client: Etcd3, lease: string, options: CallOptions): Promise<boolean> {
  const stream = await client.leaseClient.leaseKeepAlive(options);
  const answer = new Promise<boolean>((resolve, reject) => {
    stream.on('data', ({ TTL }) => resolve(Number(TTL) > 0));
    stream.on('error', reject);
    stream.on('end', () => reject(new Error('UNAVAILABLE: etcd ended the renewal')));
    stream.write({ ID: lease });
  });
  return answer.finally(() => stream.end());
}
