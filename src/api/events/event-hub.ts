/**
 * The events of a project for many who follow them: one mirror of etcd and one text for each event, shared by all. Each
 * follower has but a place in the list, so that what is slow holds no memory, and is cut once its place is gone.
 */
import { readEvent } from '../../cluster/event-values.ts';
import { lastPart, type ProjectKeys } from '../../cluster/keys.ts';
import type { Entry, Mirror, Store } from '../../cluster/store.ts';
import { MOST_EVENTS } from '../../fleet/events/event-log.ts';
import { followNew } from '../../fleet/events/told.ts';
import type { Poke } from '../../poke.ts';

/** How far somebody may be behind: a little more than what is kept. */
export const MOST_FRAMES = MOST_EVENTS + 200;

export interface Frame {
  readonly id: string;
  readonly component: string;
  /** As it is sent. */
  readonly text: string;
}

/** Where to go on from. `isWhole`: nothing is missing before it. */
export interface Place {
  readonly at: number;
  readonly isWhole: boolean;
}

export class EventHub {
  readonly #mirror: Mirror;
  readonly #followers = new Set<Poke>();
  #frames: Frame[] = [];
  /** How many frames were before the first one that is there. */
  #gone = 0;
  #isListed = false;

  constructor(store: Store, keys: ProjectKeys) {
    this.#mirror = followNew(store, keys.events(), (entries) => this.#add(entries));
  }

  /** Since then it is known what there is. */
  get isListed(): boolean {
    return this.#isListed;
  }

  /** Of whatever comes next. */
  get end(): number {
    return this.#gone + this.#frames.length;
  }

  /**
   * Behind that event, in the order in which they were written: one that was written late is not missed. What is not
   * there any more was written before all that is.
   */
  behind(id: string): Place {
    const found = this.#frames.findIndex((frame) => frame.id === id);
    return found < 0 ? { at: this.#gone, isWhole: false } : { at: this.#gone + found + 1, isWhole: true };
  }

  /** undefined: there is none yet; `gone`: the place is not there any more. */
  frameAt(at: number): Frame | 'gone' | undefined {
    return at < this.#gone ? 'gone' : this.#frames[at - this.#gone];
  }

  /** Poked whenever there may be more. */
  join(poke: Poke): void {
    this.#followers.add(poke);
  }

  leave(poke: Poke): void {
    this.#followers.delete(poke);
  }

  close(): void {
    this.#mirror.close();
  }

  #add(entries: readonly Entry[]): void {
    this.#isListed = true;
    this.#frames.push(...entries.flatMap((entry) => frameOf(entry) ?? []));
    const over = this.#frames.length - MOST_FRAMES;
    if (over > 0) {
      this.#frames = this.#frames.slice(over);
      this.#gone += over;
    }
    for (const poke of this.#followers) poke.poke();
  }
}

function frameOf(entry: Entry): Frame | undefined {
  const value = readEvent(entry);
  if (value === undefined) return undefined;
  const id = lastPart(entry.key);
  const { format: _, ...told } = value;
  const text = `id: ${id}\nevent: ${value.kind}\ndata: ${JSON.stringify({ id, ...told })}\n\n`;
  return { id, component: value.component, text };
}
