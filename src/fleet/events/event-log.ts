/**
 * What happened on this host, kept in etcd for later: gathered, and written at most once a second in one transaction.
 * Nothing here holds up or fails who tells: while etcd is away a bounded number waits, and how many were dropped is
 * told; so is what etcd refuses, which holds up no other. The newest MOST_EVENTS of a project are kept; whoever writes
 * removes the others now and then.
 */
import type { ProjectKeys } from '../../cluster/keys.ts';
import { keepNewest, looks, timeId } from '../../cluster/newest.ts';
import type { Store, Write } from '../../cluster/store.ts';
import { type ErrorCode, isGantryError, messageOf } from '../../errors.ts';
import type { AgentEvent } from '../../events.ts';
import { Poke, pause } from '../../poke.ts';
import { Backlog } from './backlog.ts';
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
/** To find those that are refused among the others: some seven for one in a batch, and as many until all is taken. */
const MOST_TRIES = 32;
const LONG_MS = 60_000;
const SEQUENCE_DIGITS = 6;

export interface EventLogInput {
  readonly store: Store;
  readonly keys: ProjectKeys;
  readonly host: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Some are not kept, or wait because etcd refuses them; `message`: a sentence. */
  readonly onTrouble: (code: ErrorCode, message: string) => void;
}

export class EventLog {
  readonly #input: EventLogInput;
  readonly #poke = new Poke();
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  readonly #backlog = new Backlog({ most: MAX_HELD, atOnce: MAX_BATCH });
  #overflown = 0;
  #isRefusalTold = false;
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
    const value = JSON.stringify(keptValue(event, host));
    if (!this.#backlog.add({ kind: 'put', key, value })) this.#overflown++;
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
      if (!this.#backlog.isEmpty) this.#poke.poke();
      await pause(isWritten ? WRITE_EVERY_MS : AGAIN_MS, signal);
    }
  }

  async #writeAll(): Promise<void> {
    while (!this.#backlog.isEmpty && (await this.#writeSome()));
  }

  /** False: etcd would not have them now, which the agent tells itself where etcd is away. */
  async #writeSome(): Promise<boolean> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const batch = this.#backlog.next();
      try {
        // The same keys again are the same events: what an answer was lost for is written anew.
        await this.#input.store.commit([], batch);
        await this.#written(batch);
        if (tries === 0 || this.#backlog.isEmpty) return true;
      } catch (error) {
        if (isGantryError(error, 'cluster-unreachable')) return false;
        this.#refused(batch, error);
      }
    }
    return false;
  }

  #refused(batch: readonly Write[], error: unknown): void {
    const became = this.#backlog.refused(batch);
    if (became === 'halved') return;
    const code = isGantryError(error) ? error.code : 'internal';
    const { onTrouble } = this.#input;
    if (became === 'given-up') onTrouble(code, `An event was not kept: ${messageOf(error)}`);
    else if (!this.#isRefusalTold) onTrouble(code, `Events wait to be kept: ${messageOf(error)}`);
    this.#isRefusalTold = true;
  }

  async #written(batch: readonly Write[]): Promise<void> {
    const { store, keys } = this.#input;
    this.#backlog.taken(batch);
    this.#isRefusalTold = false;
    this.#tellOverflown();
    // Too many are for the next one to see to.
    if (batch.some(({ key }) => looks(key)))
      await keepNewest(store, keys.events(), MOST_EVENTS).catch(() => undefined);
  }

  #tellOverflown(): void {
    const count = this.#overflown;
    this.#overflown = 0;
    const message = `${count} events were not kept: etcd was away for too long`;
    if (count > 0) this.#input.onTrouble('cluster-unreachable', message);
  }
}
