/**
 * The listening sockets of all owners: opens the new ones of a table as one (all or none), says
 * in an operator's words why one cannot be had, and keeps closed ones until the last client left.
 */
import type { Server } from 'node:net';
import { setImmediate as acceptsTaken } from 'node:timers/promises';
import { GantryError } from '../errors.ts';
import type { ListenerReport } from './control/protocol.ts';
import { Door, type DoorEvents } from './door.ts';
import { findPortHolder } from './port-holder.ts';
import { type Place, placeKey, placesOverlap, type RoutedListener } from './tables/routes.ts';

export class Doors {
  readonly #events: DoorEvents;
  readonly #open = new Map<string, Door>();
  /** Led nowhere, and still open because others may listen there. */
  readonly #left = new Map<string, Door>();
  readonly #closing = new Set<Door>();

  constructor(events: DoorEvents) {
    this.#events = events;
  }

  get open(): Iterable<Door> {
    return this.#open.values();
  }

  at(place: Place): Door | undefined {
    return this.#open.get(placeKey(place));
  }

  /** Those that are open, with the connections of each. */
  reports(): ListenerReport[] {
    return [...this.#open.values()].map((door) => {
      const { owner, listener } = door.plan;
      const { component, address, port, kind } = listener;
      return { owner, component, address, port, kind, connections: door.connections };
    });
  }

  /** Open client connections, also those of closed doors. */
  get connections(): number {
    return this.#all().reduce((sum, door) => sum + door.connections, 0);
  }

  /**
   * Binds all or none. Throws GantryError port-taken or proxy-failed. They serve once they are added, and are to be
   * discarded otherwise.
   */
  async bindAll(listeners: readonly RoutedListener[]): Promise<Door[]> {
    const doors = listeners.map((listener) => this.#takeLeft(listener) ?? this.#doorAt(listener));
    const results = await Promise.allSettled(doors.map((door) => (door.listening ? undefined : door.bind())));
    const failed = results.findIndex((result) => result.status === 'rejected');
    if (failed === -1) return doors;
    this.discard(doors);
    const [listener, result] = [listeners[failed], results[failed]];
    if (listener === undefined || result?.status !== 'rejected') throw new Error('no listener failed');
    throw await bindError(listener, result.reason);
  }

  /**
   * As bindAll. A socket that is to go anyway and is in the way of a new one (the same port at another address) goes
   * first. Who connects in between is refused: the kernel cannot have both at a time. What `bound` throws undoes it.
   */
  async bindInstead(
    missing: readonly RoutedListener[],
    leaving: readonly RoutedListener[],
    then: {
      /** Other processes that have these must close them too. */
      clear(places: readonly Place[]): Promise<void>;
      bound(): Promise<void>;
      failed(): Promise<void>;
    },
  ): Promise<Door[]> {
    const inTheWay = leaving.filter((old) => missing.some((listener) => placesOverlap(old, listener)));
    if (inTheWay.length > 0) await Promise.all([this.withdraw(inTheWay), then.clear(inTheWay)]);
    let doors: Door[] = [];
    try {
      doors = await this.bindAll(missing);
      await then.bound();
      return doors;
    } catch (error) {
      this.discard(doors);
      if (inTheWay.length > 0) await then.failed();
      throw error;
    }
  }

  /** Has these closed. Whoever has connected already is accepted first: closing would reset them. */
  async withdraw(places: readonly Place[]): Promise<void> {
    await acceptsTaken();
    for (const door of places.flatMap((place) => this.at(place) ?? this.#takeLeft(place) ?? []))
      this.retire(door);
  }

  /** A listening socket that another process has bound. */
  adopt(place: Omit<Place, 'kind'>, server: Server): void {
    const door = this.#doorAt(place);
    door.adopt(server);
    this.add(door);
  }

  add(door: Door): void {
    this.#open.set(placeKey(door), door);
  }

  /** Stops accepting at once; clients inside finish. */
  retire(door: Door): void {
    this.#open.delete(placeKey(door));
    this.#closing.add(door);
    door.close();
  }

  /**
   * As retire, where others listen on the same socket: until they have closed it too, whoever comes is told here that
   * nobody serves. Accepted by nobody he would wait for as long as one of them takes, which may hang.
   */
  leave(door: Door): void {
    this.#open.delete(placeKey(door));
    this.#left.set(placeKey(door), door);
  }

  /** Nobody else listens there any more. */
  closeLeft(): void {
    for (const door of this.#left.values()) this.retire(door);
    this.#left.clear();
  }

  /** What was bound and is not added. */
  discard(doors: readonly Door[]): void {
    for (const door of doors) {
      if (door.isLed) this.#left.set(placeKey(door), door);
      else door.close();
    }
  }

  /** Those of our own doors that keep the kernel from binding this place. */
  overlapping(place: Place): Door[] {
    return [...this.#open.values()].filter((door) => placesOverlap(door, place));
  }

  tick(now: number): void {
    for (const door of [...this.#open.values(), ...this.#left.values()]) door.tick(now);
    for (const door of this.#closing) {
      door.tick(now);
      if (door.connections > 0) continue;
      door.destroy();
      this.#closing.delete(door);
    }
  }

  destroy(): void {
    for (const door of this.#all()) door.destroy();
    this.#open.clear();
    this.#left.clear();
    this.#closing.clear();
  }

  #all(): Door[] {
    return [...this.#open.values(), ...this.#left.values(), ...this.#closing];
  }

  #doorAt({ address, port }: Omit<Place, 'kind'>): Door {
    return new Door(address, port, this.#events);
  }

  #takeLeft(place: Place): Door | undefined {
    const door = this.#left.get(placeKey(place));
    this.#left.delete(placeKey(place));
    return door;
  }
}

/** Why a socket cannot be had, in an operator's words. */
export async function bindError(
  listener: RoutedListener,
  cause: NodeJS.ErrnoException,
): Promise<GantryError> {
  const place = placeKey(listener);
  if (cause.code === 'EADDRINUSE') return portTaken(listener, cause);
  const hint = BIND_HINTS[cause.code ?? ''];
  return new GantryError(
    'proxy-failed',
    `cannot listen on ${place} for ${listener.component}: ${cause.message}`,
    {
      cause,
      ...(hint === undefined ? {} : { hint }),
    },
  );
}

const BIND_HINTS: Record<string, string> = {
  EACCES: 'Ports below net.ipv4.ip_unprivileged_port_start need root.',
  EADDRNOTAVAIL: 'The address is not one of this host; use 0.0.0.0 for all of them.',
};

async function portTaken(listener: RoutedListener, cause: Error): Promise<GantryError> {
  const holder = await findPortHolder(listener.port, listener.kind === 'udp' ? 'udp' : 'tcp');
  const who = holder === undefined ? 'another process' : `process ${holder.pid} (${holder.command})`;
  const name = listener.kind === 'udp' ? 'udp port' : 'port';
  const message = `${name} ${listener.port} of ${listener.component} is taken: ${who} listens on it`;
  const hint = 'Stop that process or give the component another external port.';
  return new GantryError('port-taken', message, { hint, cause });
}
