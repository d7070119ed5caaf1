/**
 * What is to be written to etcd and is not yet: in order, bounded, and as many at once as etcd takes. What it refuses
 * comes again in halves, down to the one it will not have, which lets the others pass. It is given up once another one
 * was taken since it was first refused: an etcd that takes none at all costs nothing but time. Does no I/O.
 */
import type { Write } from '../../cluster/store.ts';

export class Backlog {
  readonly #most: number;
  readonly #atOnce: number;
  #waiting: Write[] = [];
  /** As many as etcd is thought to take at once. */
  #size: number;
  #taken = 0;
  /** Refused, alone or with others, and how many had been taken by then. */
  readonly #refused = new Map<Write, number>();

  constructor({ most, atOnce }: { readonly most: number; readonly atOnce: number }) {
    this.#most = most;
    this.#atOnce = atOnce;
    this.#size = atOnce;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** False: the one that waited longest is given up for it. */
  add(write: Write): boolean {
    this.#waiting.push(write);
    if (this.#waiting.length <= this.#most) return true;
    this.#remove(this.#waiting.slice(0, 1));
    return false;
  }

  next(): readonly Write[] {
    return this.#waiting.slice(0, this.#size);
  }

  taken(writes: readonly Write[]): void {
    this.#remove(writes);
    this.#taken += writes.length;
    this.#size = Math.min(this.#atOnce, this.#size * 2);
  }

  /** `halved`: less at once may be taken. `behind`: it waits behind the others. `given-up`: it waits no more. */
  refused(writes: readonly Write[]): 'halved' | 'behind' | 'given-up' {
    for (const write of writes) if (!this.#refused.has(write)) this.#refused.set(write, this.#taken);
    const [only] = writes;
    if (writes.length > 1 || only === undefined) {
      this.#size = Math.ceil(writes.length / 2);
      return 'halved';
    }
    const before = this.#refused.get(only) ?? 0;
    this.#remove([only]);
    if (before < this.#taken) return 'given-up';
    this.#refused.set(only, before);
    this.#waiting.push(only);
    return 'behind';
  }

  #remove(writes: readonly Write[]): void {
    const gone = new Set(writes);
    this.#waiting = this.#waiting.filter((write) => !gone.has(write));
    for (const write of writes) this.#refused.delete(write);
  }
}
