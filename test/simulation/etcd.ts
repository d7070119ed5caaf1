/**
 * A simulated etcd: keys with revisions, writes that happen all at once if their conditions hold, leases, and mirrors
 * that follow a range and are late. It may be away, for one host or for all.
 */
import type { Condition, Entry, Range, Write } from '../../src/cluster/store.ts';
import { GantryError } from '../../src/errors.ts';
import type { Life } from './schedule.ts';
import type { SimHost, World } from './world.ts';

interface Lease {
  until: number;
}

export class SimEtcd {
  up = true;
  revision = 1;
  readonly entries = new Map<string, Entry>();
  readonly leases = new Map<string, Lease>();
  readonly mirrors = new Set<SimMirror>();
  readonly #world: World;
  readonly #leaseOf = new Map<string, string>();
  #leases = 0;

  constructor(world: World) {
    this.#world = world;
  }

  get(key: string): Entry | undefined {
    return this.entries.get(key);
  }

  list({ from, to }: Range): readonly Entry[] {
    const found = [...this.entries.values()].filter(({ key }) => key >= from && key < to);
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  commit(conditions: readonly Condition[], writes: readonly Write[]): boolean {
    if (!conditions.every((c) => this.#holds(c))) return false;
    for (const write of writes) {
      if (write.kind === 'put' && write.lease !== undefined && !this.leases.has(write.lease))
        throw new GantryError('cluster-failed', `no lease ${write.lease}`, { retryable: true });
    }
    this.revision++;
    for (const write of writes) this.#write(write);
    this.#changed(writes.map((w) => w.key));
    return true;
  }

  grant(ttlMs: number): string {
    const id = `lease-${++this.#leases}`;
    this.leases.set(id, { until: this.#world.now + ttlMs });
    this.#expireLater(id, ttlMs);
    return id;
  }

  /** False: it has ended. */
  renew(id: string, ttlMs: number): boolean {
    const lease = this.leases.get(id);
    if (lease === undefined) return false;
    lease.until = this.#world.now + ttlMs;
    return true;
  }

  revoke(id: string): void {
    if (!this.leases.delete(id)) return;
    const keys = [...this.#leaseOf].flatMap(([key, lease]) => (lease === id ? [key] : []));
    this.#world.tell(`etcd: ${id} ends${keys.length === 0 ? '' : ` and with it ${keys.map(shortKey)}`}`);
    if (keys.length === 0) return;
    this.revision++;
    for (const key of keys) this.#write({ kind: 'delete', key });
    this.#changed(keys);
  }

  /** A leader that has just been elected gives every lease its whole time again. */
  comeBack(ttlMs: number): void {
    this.up = true;
    for (const [id, lease] of this.leases) {
      lease.until = this.#world.now + ttlMs;
      this.#expireLater(id, ttlMs);
    }
    for (const mirror of this.mirrors) mirror.reachable();
  }

  #expireLater(id: string, ms: number): void {
    this.#world.schedule.after(ms, () => {
      const lease = this.leases.get(id);
      if (lease === undefined || !this.up) return;
      if (lease.until <= this.#world.now) this.revoke(id);
      else this.#expireLater(id, lease.until - this.#world.now);
    });
  }

  #holds(condition: Condition): boolean {
    const entry = this.entries.get(condition.key);
    if ('modRevision' in condition) return (entry?.modRevision ?? 0) === condition.modRevision;
    return (entry?.createRevision ?? 0) === condition.createRevision;
  }

  #write(write: Write): void {
    const { key } = write;
    this.#leaseOf.delete(key);
    if (write.kind === 'delete') {
      this.entries.delete(key);
      return;
    }
    const createRevision = this.entries.get(key)?.createRevision ?? this.revision;
    this.entries.set(key, { key, value: write.value, createRevision, modRevision: this.revision });
    if (write.lease !== undefined) this.#leaseOf.set(key, write.lease);
  }

  #changed(keys: readonly string[]): void {
    const change = keys.map((key) => [key, this.entries.get(key)] as const);
    for (const mirror of this.mirrors) mirror.note(change, this.revision);
  }
}

type Change = readonly (readonly [string, Entry | undefined])[];

/** As the Mirror of src/cluster/store.ts: late, in order, and listed anew when its line was cut. */
export class SimMirror {
  readonly entries = new Map<string, Entry>();
  current = false;
  trouble: string | undefined = 'etcd has not answered yet';
  readonly #etcd: SimEtcd;
  readonly #host: SimHost;
  readonly #life: Life;
  readonly #range: Range;
  readonly #onChange: (changed?: readonly string[]) => void;
  #lastAt = 0;
  /** Revision of the last listing: what is told of before is old. */
  #listed = 0;
  /** Grows with every cut: what was on its way is lost. */
  #line = 0;

  constructor(
    etcd: SimEtcd,
    host: SimHost,
    life: Life,
    range: Range,
    onChange: (changed?: readonly string[]) => void,
  ) {
    this.#etcd = etcd;
    this.#host = host;
    this.#life = life;
    this.#range = range;
    this.#onChange = onChange;
    etcd.mirrors.add(this);
    this.reachable();
  }

  note(change: Change, revision: number): void {
    const { from, to } = this.#range;
    const mine = change.filter(([key]) => key >= from && key < to);
    if (mine.length === 0 || !this.#host.etcdReachable) return;
    const { dice } = this.#host.world;
    const lag = dice.below(15) === 0 ? dice.below(3_000) : 1 + dice.below(10);
    this.#inOrder(lag, () => {
      if (!this.current || revision <= this.#listed) return;
      for (const [key, entry] of mine) {
        if (entry === undefined) this.entries.delete(key);
        else this.entries.set(key, entry);
      }
      this.#onChange(mine.map(([key]) => key));
    });
  }

  /** The line is cut: that is noticed after a while. */
  cut(): void {
    const line = ++this.#line;
    const { schedule, dice } = this.#host.world;
    schedule.after(dice.below(10_000), () =>
      this.#life.deliver(() => {
        if (line !== this.#line || this.#host.etcdReachable) return;
        this.current = false;
        this.trouble = 'etcd does not answer';
        this.#onChange([]);
      }),
    );
  }

  /** A listing comes when the host is reached again. */
  reachable(): void {
    this.#line++;
    const { dice } = this.#host.world;
    this.#inOrder(20 + dice.below(400), () => {
      if (!this.#host.etcdReachable) return;
      this.entries.clear();
      this.#listed = this.#etcd.revision;
      for (const entry of this.#etcd.list(this.#range)) this.entries.set(entry.key, entry);
      this.current = true;
      this.trouble = undefined;
      this.#onChange();
    });
  }

  close(): void {
    this.#line++;
    this.#etcd.mirrors.delete(this);
  }

  #inOrder(ms: number, run: () => void): void {
    const line = this.#line;
    const { schedule } = this.#host.world;
    this.#lastAt = Math.max(this.#lastAt, schedule.now + ms);
    schedule.after(this.#lastAt - schedule.now, () => this.#life.deliver(() => line === this.#line && run()));
  }
}

export function shortKey(key: string): string {
  return key.split('/').slice(-3).join('/');
}
