/**
 * What happened on this host, kept in etcd for later: gathered, and written at most once a second in one transaction.
 * Nothing here holds up or fails who tells: while etcd is away a bounded number waits, and how many were dropped is
 * told. The newest MOST_EVENTS of a project are kept; whoever writes removes the others now and then.
 */
import type { ProjectKeys } from '../cluster/keys.ts';
import { keepNewest, looks, timeId } from '../cluster/newest.ts';
import type { Store, Write } from '../cluster/store.ts';
import type { AgentEvent } from '../events.ts';
import { Poke, pause } from '../poke.ts';
import { isKept, keptValue } from './kept-events.ts';

export const MOST_EVENTS = 1_000;
/** Events that wait to be written. */
export const MAX_HELD = 1_000;
/** etcd takes 128 in a transaction; with MAX_VALUE_BYTES each they are a third of what it takes. */
const MAX_BATCH = 100;
const WRITE_EVERY_MS = 1_000;
const AGAIN_MS = 3_000;
/** What an agent that ends waits for its last words to be written. */
const LAST_MS = 2_000;
const LONG_MS = 60_000;
const SEQUENCE_DIGITS = 6;

export interface EventLogInput {
  readonly store: Store;
  readonly keys: ProjectKeys;
  readonly host: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Called when so many were dropped, once it is known how many. */
  readonly onDropped: (count: number) => void;
}

export class EventLog {
  readonly #input: EventLogInput;
  readonly #poke = new Poke();
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  #waiting: Write[] = [];
  #dropped = 0;
  #sequence = 0;

  constructor(input: EventLogInput) {
    this.#input = input;
    this.#running = this.#run(this.#ended.signal);
  }

  /** Never throws and never waits. */
  add(event: AgentEvent): void {
    if (!isKept(event)) return;
    const { host, keys } = this.#input;
    const sequence = String(this.#sequence++).padStart(SEQUENCE_DIGITS, '0');
    const key = keys.event(timeId(event.at, `${host}-${sequence}`));
    this.#waiting.push({ kind: 'put', key, value: JSON.stringify(keptValue(event, host)) });
    if (this.#waiting.length > MAX_HELD) {
      this.#waiting.shift();
      this.#dropped++;
    }
    this.#poke.poke();
  }

  /** What waits is written, unless that takes long. Idempotent. */
  async close(): Promise<void> {
    this.#ended.abort();
    const written = this.#running.then(() => this.#writeAll());
    await Promise.race([written, pause(LAST_MS, new AbortController().signal)]);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#poke.wait(LONG_MS, signal);
      this.#poke.clear();
      if (signal.aborted) return;
      const isWritten = await this.#writeSome();
      if (this.#waiting.length > 0) this.#poke.poke();
      await pause(isWritten ? WRITE_EVERY_MS : AGAIN_MS, signal);
    }
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0 && (await this.#writeSome()));
  }

  /**
   * False: etcd would not have them now, which the agent tells itself. The same keys again are the same events: what
   * an answer was lost for is written anew.
   */
  async #writeSome(): Promise<boolean> {
    const { store, keys } = this.#input;
    const batch = this.#waiting.slice(0, MAX_BATCH);
    try {
      await store.commit([], batch);
    } catch {
      return false;
    }
    const written = new Set(batch);
    this.#waiting = this.#waiting.filter((write) => !written.has(write));
    this.#tellDropped();
    // Too many are for the next one to see to.
    if (batch.some(({ key }) => looks(key)))
      await keepNewest(store, keys.events(), MOST_EVENTS).catch(() => undefined);
    return true;
  }

  #tellDropped(): void {
    const count = this.#dropped;
    this.#dropped = 0;
    if (count > 0) this.#input.onDropped(count);
  }
}
