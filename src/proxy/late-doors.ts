/** Listeners of tables in force for which no door is open: bound now if they can be, else remembered by owner and tried again. */
import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { OwnedTable } from './control/protocol.ts';
import type { Doors } from './doors.ts';
import { listenersOf, type RoutedListener } from './tables/routes.ts';

export class LateDoors {
  readonly #doors: Doors;
  readonly #log: Log;
  readonly #owners = new Set<string>();
  #toldWhy = '';

  constructor(doors: Doors, log: Log) {
    this.#doors = doors;
    this.#log = log;
  }

  /** A udp port has no door. */
  lacks(listener: RoutedListener): boolean {
    return listener.kind !== 'udp' && this.#doors.at(listener) === undefined;
  }

  /** Each door opened is led at once: a client may come before the next one is tried. Never fails. */
  async bind({ owner, table }: OwnedTable, lead: () => void): Promise<void> {
    for (const listener of listenersOf(table)) {
      if (!this.lacks(listener)) continue;
      const doors = await this.#doors.bindAll([listener]).catch((error) => {
        this.#missed(owner, messageOf(error));
        return [];
      });
      for (const door of doors) this.#doors.add(door);
      lead();
    }
  }

  /** The owners to try again now; who still lacks a door then is remembered anew. */
  due(): readonly string[] {
    const owners = [...this.#owners];
    this.forget();
    return owners;
  }

  forget(): void {
    this.#owners.clear();
  }

  /** A reason is logged once for as long as it stays the same. */
  #missed(owner: string, why: string): void {
    this.#owners.add(owner);
    if (this.#toldWhy === why) return;
    this.#toldWhy = why;
    this.#log.error('a listener of the table in force could not be bound', { owner, why });
  }
}
