/**
 * Mirrors src/cluster/etcd/etcd-session.ts, a lease kept alive and counted by the process's own clock, and of
 * src/fleet/leased.ts what matters here: keys that are told under the lease that is held.
 */
import type { Write } from '../../src/cluster/store.ts';
import { isGantryError } from '../../src/errors.ts';
import type { SimEtcd } from './etcd.ts';
import { joinAll, type Life, Poke, type Proc, pause, settled, type Task } from './schedule.ts';
import type { SimHost } from './world.ts';

export const TTL_MS = 15_000;
const MARGIN = 0.1;
const RENEWALS = 3;
const PAUSE_MAX_MS = 2_000;

export class SimSession {
  readonly #host: SimHost;
  readonly #life: Life;
  readonly #etcd: SimEtcd;
  readonly #onChange: () => void;
  #held: { readonly lease: string; readonly until: number } | undefined;
  #toldHeld = false;

  constructor(host: SimHost, life: Life, etcd: SimEtcd, onChange: () => void) {
    this.#host = host;
    this.#life = life;
    this.#etcd = etcd;
    this.#onChange = onChange;
    life.fork(this.#run());
  }

  lease(): string | undefined {
    return (this.#held?.until ?? 0) > this.#host.world.now ? this.#held?.lease : undefined;
  }

  *#run(): Proc {
    const { world } = this.#host;
    for (let failures = 0; ; ) {
      this.#tell();
      const sentAt = world.now;
      let answered = true;
      try {
        yield* this.#renew(sentAt);
      } catch (error) {
        if (!isGantryError(error)) throw error;
        answered = false;
      }
      this.#tell();
      failures = answered ? 0 : failures + 1;
      if (answered && this.#held === undefined) continue;
      const everyMs = TTL_MS / RENEWALS;
      const nextMs = answered ? everyMs : Math.min(everyMs, PAUSE_MAX_MS, 100 * 2 ** failures);
      yield* pause(world.schedule, Math.max(0, sentAt + nextMs - world.now));
    }
  }

  *#renew(sentAt: number): Proc {
    const until = sentAt + TTL_MS * (1 - MARGIN);
    const lease = this.lease();
    const call = <T>(run: () => T) => this.#host.world.effect(this.#life, this.#host, { on: 'etcd', run });
    if (lease === undefined) {
      const old = this.#held;
      const granted = yield* call(() => this.#etcd.grant(TTL_MS));
      this.#held = { lease: granted, until };
      if (old !== undefined) yield* call(() => this.#etcd.revoke(old.lease));
    } else {
      const lives = yield* call(() => this.#etcd.renew(lease, TTL_MS));
      this.#held = lives ? { lease, until } : undefined;
    }
  }

  #tell(): void {
    const { schedule } = this.#host.world;
    const held = this.lease() !== undefined;
    if (held)
      schedule.after((this.#held?.until ?? 0) - schedule.now, () => this.#life.deliver(() => this.#tell()));
    if (this.#toldHeld === held) return;
    this.#toldHeld = held;
    this.#onChange();
  }
}

const QUIET_MS = 5_000;
const GATHER_MS = 5;
const RETRY_MS = 1_000;

export class SimLeased {
  readonly #host: SimHost;
  readonly #life: Life;
  readonly #etcd: SimEtcd;
  readonly #session: SimSession;
  readonly #poke: Poke;
  readonly #wanted = new Map<string, string>();
  readonly #told = new Map<string, { readonly value: string; readonly lease: string }>();
  #news = false;
  #lastAt = Number.NEGATIVE_INFINITY;
  #writing: Task | undefined;

  constructor(host: SimHost, life: Life, etcd: SimEtcd, session: SimSession) {
    this.#host = host;
    this.#life = life;
    this.#etcd = etcd;
    this.#session = session;
    this.#poke = new Poke(host.world.schedule);
  }

  put(key: string, value: object, news: boolean): void {
    const text = JSON.stringify(value);
    if (this.#wanted.get(key) === text) return;
    this.#wanted.set(key, text);
    this.#news ||= news;
    if (news) this.#poke.poke();
  }

  leaseChanged(): void {
    this.#news = true;
    this.#poke.poke();
  }

  *run(): Proc {
    const { world } = this.#host;
    for (;;) {
      this.#poke.clear();
      try {
        const something = this.#changes(this.#session.lease()).length > 0;
        if (something && (this.#news || world.now - this.#lastAt >= QUIET_MS)) {
          yield* pause(world.schedule, GATHER_MS);
          yield* this.flush();
        }
        const left = this.#changes(this.#session.lease()).length > 0;
        const restMs = left ? this.#lastAt + QUIET_MS - world.now : 6 * QUIET_MS;
        yield* this.#poke.wait(Math.max(GATHER_MS, restMs));
      } catch (error) {
        if (!isGantryError(error)) throw error;
        yield* pause(world.schedule, RETRY_MS);
      }
    }
  }

  *flush(also: readonly Write[] = []): Proc {
    const before = this.#writing;
    const write = this.#life.fork(this.#after(before, also)) as Task;
    this.#writing = write;
    yield* joinAll([write]);
  }

  *#after(before: Task | undefined, also: readonly Write[]): Proc {
    if (before !== undefined) yield* settled(before);
    const lease = this.#session.lease();
    if (lease === undefined) return;
    this.#news = false;
    const writes = [...this.#changes(lease), ...also];
    if (writes.length === 0) return;
    this.#lastAt = this.#host.world.now;
    try {
      const run = () => this.#etcd.commit([], writes);
      const words = also.length > 0 ? 'tells that it is done, and gives its turn back' : undefined;
      yield* this.#host.world.effect(this.#life, this.#host, {
        ...{ on: 'etcd', run },
        ...(words === undefined ? {} : { words }),
      });
      for (const w of writes) if (w.kind === 'put') this.#told.set(w.key, { value: w.value, lease });
    } catch (error) {
      this.#news = true;
      throw error;
    }
  }

  #changes(lease: string | undefined): Write[] {
    if (lease === undefined) return [];
    return [...this.#wanted].flatMap(([key, value]): Write[] => {
      const told = this.#told.get(key);
      return told?.value === value && told.lease === lease ? [] : [{ kind: 'put', key, value, lease }];
    });
  }
}
