/**
 * Clients that wait because a route has no backend. One room per component and table: when the next
 * table is in force the room is closed, and everyone in it asks again, in order of arrival.
 */
import { type HoldTerms, type RouteTable, waitsWith } from '../tables/routes.ts';

/** What a timer can hold, 24 days: nobody waits for longer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** One client. Exactly one of its callbacks is called, unless it leaves. */
export interface Waiter {
  /** By performance.now(): a client that goes on to the next table's room does not begin to wait anew. */
  readonly since: number;
  /** The table changed: look for a backend again. */
  again(): void;
  /** The time is over. */
  timeUp(): void;
}

export class WaitingRoom {
  readonly #terms: HoldTerms;
  /** In order of arrival. */
  readonly #timers = new Map<Waiter, NodeJS.Timeout>();
  #closed = false;

  constructor(terms: HoldTerms) {
    this.#terms = terms;
  }

  get size(): number {
    return this.#timers.size;
  }

  /** Whether there is a place and time left. */
  enter(waiter: Waiter): boolean {
    const { timeoutMs, max } = this.#terms;
    const leftMs = waiter.since + timeoutMs - performance.now();
    if (this.#closed || leftMs <= 0 || this.#timers.size >= max) return false;
    const over = () => {
      this.#timers.delete(waiter);
      waiter.timeUp();
    };
    this.#timers.set(waiter, setTimeout(over, Math.min(leftMs, MAX_TIMER_MS)));
    return true;
  }

  /** Idempotent. */
  leave(waiter: Waiter): void {
    clearTimeout(this.#timers.get(waiter));
    this.#timers.delete(waiter);
  }

  /** Nobody waits here any more. */
  close(): void {
    this.#closed = true;
    // One that is refused may take others along, which have left by the time it is their turn.
    for (const waiter of this.#timers.keys()) {
      this.leave(waiter);
      waiter.again();
    }
  }
}

/** The rooms of the tables in force, by owner. */
export class WaitingRooms {
  readonly #rooms = new Map<string, readonly WaitingRoom[]>();

  /** How many wait, by owner. */
  counts(): Record<string, number> {
    const sizeOf = (rooms: readonly WaitingRoom[]) => rooms.reduce((sum, room) => sum + room.size, 0);
    return Object.fromEntries([...this.#rooms].map(([owner, rooms]) => [owner, sizeOf(rooms)]));
  }

  /** INVARIANT: every door of the owner leads by the new table already, so that whoever asks again finds it. */
  replace(owner: string, rooms: Iterable<WaitingRoom>): void {
    const before = this.#rooms.get(owner) ?? [];
    const next = [...new Set(rooms)];
    if (next.length === 0) this.#rooms.delete(owner);
    else this.#rooms.set(owner, next);
    for (const room of before) room.close();
  }

  /** Everyone is refused, now and later. */
  close(): void {
    for (const room of [...this.#rooms.values()].flat()) room.close();
    this.#rooms.clear();
  }
}

/** A room for each route whose clients may wait, by component; those of links are their exporters'. */
export function roomsOf(table: RouteTable): ReadonlyMap<string, WaitingRoom> {
  const rooms = new Map<string, WaitingRoom>();
  const byComponent = new Map<string, WaitingRoom>();
  for (const { component } of table.routes) {
    const { component: whose = '', hold } = waitsWith(table, component) ?? {};
    if (hold === undefined || hold.timeoutMs === 0) continue;
    const room = rooms.get(whose) ?? new WaitingRoom(hold);
    rooms.set(whose, room);
    byComponent.set(component, room);
  }
  return byComponent;
}

/** Of one owner, or of all; what several processes counted, together. */
export function sumWaiting(counts: readonly Readonly<Record<string, number>>[], owner?: string): number {
  const meant = counts.flatMap((of) => (owner === undefined ? Object.values(of) : [of[owner] ?? 0]));
  return meant.reduce((sum, count) => sum + count, 0);
}
