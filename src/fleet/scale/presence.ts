/**
 * Which hosts live, as their agents' leased keys tell, and since when one is gone: by this host's own clock, so that no
 * two clocks need agree. Followed only where something has a total to spread.
 */
import { type Keys, lastPart } from '../../cluster/keys.ts';
import type { Mirror, Store } from '../../cluster/store.ts';
import { type HostValue, readHost } from '../../cluster/values.ts';

export interface PresenceInput {
  readonly store: Store;
  readonly keys: Keys;
  readonly project: string;
  /** How long a key outlives its agent. */
  readonly ttlMs: number;
  /** Epoch milliseconds, steady. */
  readonly now: () => number;
  /** A host came or went, or etcd did. */
  readonly onChange: () => void;
}

interface Gone {
  /** Epoch milliseconds. */
  readonly at: number;
  /** It was seen to go: it has not been heard of for as long as its key outlives it. */
  readonly seen: boolean;
}

export class Presence {
  readonly #input: PresenceInput;
  readonly #gone = new Map<string, Gone>();
  /** Also of those that are gone: there are as many as there were hosts since the agent began. */
  readonly #known = new Map<string, HostValue>();
  #live: ReadonlySet<string> = new Set();
  #mirror: Mirror | undefined;
  #isTrusted = false;

  constructor(input: PresenceInput) {
    this.#input = input;
  }

  /** Follows from now on; again and again is as good as once. */
  start(): void {
    const { store, keys } = this.#input;
    this.#mirror ??= store.follow({ range: keys.hosts(), onChange: () => this.#onChange() });
  }

  /** What it answers is up to date. */
  get current(): boolean {
    return this.#isTrusted;
  }

  /** The hosts that run the component. */
  running(component: string): readonly HostValue[] {
    const live = [...this.#live].flatMap((host) => this.#known.get(host) ?? []);
    return live.filter((h) => h.components.includes(component));
  }

  /** What a host told of itself, also before it was gone; undefined: it was never seen. */
  known(host: string): HostValue | undefined {
    return this.#known.get(host);
  }

  /**
   * Epoch milliseconds from when on a host that does not run the component counts as lost. One that lives and only
   * does not run it has said so: it counts as lost at once.
   */
  lostAt(host: string, timeoutMs: number): number {
    if (this.#live.has(host)) return Number.NEGATIVE_INFINITY;
    const { ttlMs, now } = this.#input;
    const gone = this.#gone.get(host) ?? { at: now(), seen: false };
    this.#gone.set(host, gone);
    return gone.seen ? gone.at + Math.max(0, timeoutMs - ttlMs) : gone.at + Math.max(timeoutMs, ttlMs);
  }

  close(): void {
    this.#mirror?.close();
  }

  #onChange(): void {
    const { project, now, onChange } = this.#input;
    const wasTrusted = this.#isTrusted;
    this.#isTrusted = this.#mirror?.current === true;
    if (this.#mirror !== undefined && this.#isTrusted) {
      const before = this.#live;
      const live = new Set<string>();
      for (const entry of this.#mirror.entries.values()) {
        const value = lastPart(entry.key) === project ? readHost(entry) : undefined;
        if (value === undefined) continue;
        live.add(value.host);
        this.#known.set(value.host, value);
        this.#gone.delete(value.host);
      }
      this.#live = live;
      // After etcd was away all leases may have ended, whoever lives: then it counts from now.
      if (!wasTrusted) this.#gone.clear();
      for (const host of before) {
        if (!live.has(host)) this.#gone.set(host, { at: now(), seen: wasTrusted });
      }
    }
    onChange();
  }
}
