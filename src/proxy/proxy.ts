/**
 * The data plane as a whole: the owners' tables, the swap from one table to the next, and the
 * counts. A swap is prepared (all new sockets bound) and then applied in one synchronous step, so
 * that no request sees half of it. Knows nothing of the control socket or of processes.
 */
import type { Server } from 'node:net';
import { GantryError, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { LiveBackend } from './backends/backend.ts';
import { Backends } from './backends/backends.ts';
import { cutHolds } from './backends/holds.ts';
import { LiveRoute } from './backends/live-route.ts';
import { joiningAt, SETTLED } from './backends/slow-start.ts';
import { Traffic } from './backends/traffic.ts';
import { roomsOf, sumWaiting, WaitingRooms } from './backends/waiting.ts';
import { countsIn } from './control/counts.ts';
import type {
  Change,
  CutRequest,
  OwnedTable,
  Peer,
  ProxyCounts,
  ProxyStatus,
  PutTable,
} from './control/protocol.ts';
import type { Door } from './door.ts';
import { Doors } from './doors.ts';
import { divided, type Share, WHOLE } from './generations/share.ts';
import { KernelSide } from './kernel/side.ts';
import { LateDoors } from './late-doors.ts';
import { ALONE, type ProxyOptions, type Sharing } from './plane-options.ts';
import type { SavedTables } from './tables/persist.ts';
import {
  diffListeners,
  ledRoutes,
  listenersOf,
  type Place,
  placeKey,
  type RoutedListener,
  type RouteTable,
  routeOf,
  summaryOf,
} from './tables/routes.ts';
import { Tables } from './tables/tables.ts';

const TICK_MS = 1_000;

export type ChangeListener = (owner: string, change: Change) => void;

export class DataPlane {
  readonly #log: Log;
  readonly #doors: Doors;
  readonly #tables: Tables;
  readonly rooms = new WaitingRooms();
  readonly #traffic = new Traffic();
  readonly #backends = new Backends(this.#traffic, (it) => this.#idle(it));
  readonly kernel: KernelSide;
  sharing: Sharing = ALONE;
  #share = WHOLE;
  readonly #listeners = new Set<ChangeListener>();
  #ticker: NodeJS.Timeout | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #stopping = false;
  #handedOver = false;
  readonly #late: LateDoors;

  constructor(options: ProxyOptions) {
    this.#log = options.log;
    this.#tables = new Tables(options.tablesPath, options.log, () => this.#backends.left);
    this.kernel = new KernelSide({
      log: options.log,
      open: options.openKernel,
      backends: () => this.backends,
      changed: (owner) => this.tell(owner, { kind: 'table' }),
    });
    this.#doors = new Doors({
      httpPath: options.httpPath,
      reached: (backend, port, error) => this.#reached(backend, port, error),
      acceptFailed: (door, error) =>
        this.#log.warn('a connection could not be accepted', { place: placeKey(door), why: error.message }),
    });
    this.#late = new LateDoors(this.#doors, options.log);
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Work under way: requests, upgraded and tcp connections. */
  get open(): number {
    let sum = 0;
    for (const backend of this.backends) sum += backend.open;
    return sum;
  }

  /** Routed, or still held. */
  get backends(): Iterable<LiveBackend> {
    return this.#backends.all;
  }

  /** Open client connections, idle ones included. */
  get connections(): number {
    return this.#doors.connections;
  }

  /** Takes over the tables on disk. A port that cannot be bound now is tried again every second. */
  async start(): Promise<void> {
    const { left = [], isOfAnotherBoot } = await this.#tables.load();
    this.#backends.recall(left);
    await this.bindRest();
    // Their processes went with the host: a number may be another's now.
    for (const { address, carried } of this.backends)
      carried.gone = isOfAnotherBoot && address.pid !== undefined;
    await this.leadKernel();
  }

  /** Has the kernel lead by the tables in force; what fails is tried again. Of the proxy that serves alone. */
  async leadKernel(): Promise<void> {
    await this.kernel.serve(this.#tables.all);
  }

  /** Ends what is meant of what this process and the kernel carry, and answers how many that were. */
  async cut(request: CutRequest): Promise<number> {
    return cutHolds(this.backends, request) + (await this.kernel.cut(request));
  }

  /** The tables of the proxy that this one succeeds; its doors follow, then `bindRest`. */
  takeOver(tables: SavedTables): void {
    this.#tables.take(tables);
    this.#backends.recall(tables.left ?? []);
  }

  /** A listening socket of the proxy that this one succeeds. It serves at once. */
  adopt({ address, port }: Omit<Place, 'kind'>, server: Server): void {
    const place = { address, port };
    const has = (owned: OwnedTable) =>
      listenersOf(owned.table).some((it) => placeKey(it) === placeKey(place));
    const owned = this.#tables.all.find(has);
    if (owned === undefined || this.#doors.at(place) !== undefined) return void server.close();
    this.#doors.adopt(place, server);
    this.#lead(owned);
  }

  /** Binds what the tables name and no door is open for yet. */
  async bindRest(): Promise<void> {
    for (const owned of this.#tables.all) await this.#bindMissing(owned);
    this.#ticker = setInterval(() => this.#tick(performance.now()), TICK_MS);
  }

  table(owner: string): OwnedTable {
    return this.#tables.of(owner);
  }

  /** See PutTable. Puts are taken one at a time. Throws GantryError route-conflict, port-taken, proxy-failed. */
  put(owner: string, put: PutTable): Promise<OwnedTable> {
    const result = this.#turn.then(() => this.#put(owner, put));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  status(owner?: string): Omit<ProxyStatus, 'protocol' | 'version' | 'pid' | 'startedAt'> {
    const mine = (name: string) => owner === undefined || name === owner;
    const [now, owners] = [performance.now(), this.#tables.all];
    const waiting = sumWaiting([this.rooms.counts()], owner);
    return {
      owners: owners.filter((owned) => mine(owned.owner)),
      listeners: this.kernel
        .reports(this.#doors.reports(), owners)
        .filter((listener) => mine(listener.owner)),
      backends: Array.from(this.backends, (it) => it.report(now)).filter((it) => mine(it.owner)),
      ...(this.#tables.persistError === undefined ? {} : { persistError: this.#tables.persistError }),
      ...(waiting === 0 ? {} : { waiting }),
      ...(this.#stopping ? { stopping: true } : {}),
    };
  }

  /** What was counted here since the process began, and what it carries now. */
  counts(): ProxyCounts {
    return countsIn(this.#traffic, this.backends);
  }

  /** Calls the listener on every change until the returned function is called. */
  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stops accepting and saves the tables; what is open goes on. Idempotent. */
  async retire(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    await this.#turn;
    for (const door of [...this.#doors.open]) this.#doors.retire(door);
    this.#doors.closeLeft();
    // No table comes any more that could give them a backend.
    this.rooms.close();
    if (this.#tables.persistError !== undefined && !this.#handedOver) await this.#tables.save();
  }

  /** What was taken over may be on disk as it was before: the disk was full then, say. */
  async save(): Promise<void> {
    await this.#tables.save();
  }

  /** Of all owners, as they are in force. */
  get tables(): SavedTables {
    return this.#tables.saved;
  }

  /** One of several processes from now on, or the only one. */
  divide(share: Share): void {
    this.#share = share;
    for (const owned of this.#tables.all) this.#lead(owned);
  }

  /** Closes these listening sockets, which another process will open anew or not at all. */
  async withdraw(places: readonly Place[]): Promise<void> {
    await this.#doors.withdraw(places);
  }

  /** No other process listens where no table leads any more. */
  closeLeft(): void {
    this.#doors.closeLeft();
  }

  /** Resolves when every put that was asked before has ended. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  /** The doors that are open, each with its listening socket. */
  get listening(): readonly Door[] {
    return [...this.#doors.open].filter((door) => door.listening);
  }

  /** Another process listens on these sockets from now on: accepts nothing more here, and clients may stay. */
  handOver(): void {
    this.#handedOver = true;
    this.#late.forget();
    for (const door of this.#doors.open) door.handOver();
    this.#doors.closeLeft();
    this.kernel.leave().catch((error) => this.#log.error('cannot leave', { why: messageOf(error) }));
  }

  /** Once handed over: leads who is still here by the tables of the proxy that serves. Older ones are ignored. */
  follow({ lastRevision, owners }: SavedTables): void {
    if (lastRevision < this.#tables.saved.lastRevision) return;
    this.#tables.notBelow(lastRevision);
    for (const owned of owners) {
      const present = this.table(owned.owner);
      if (present.revision === owned.revision) continue;
      this.#tables.set(owned);
      this.#enforce(present, owned);
    }
  }

  /** Revisions given out from now on are above this one. */
  notBelow(revision: number): void {
    this.#tables.notBelow(revision);
  }

  /** Cuts everything. */
  async close(): Promise<void> {
    await this.retire();
    clearInterval(this.#ticker);
    this.#doors.destroy();
    this.#backends.close();
    await this.kernel.leave();
  }

  async #put(owner: string, { ifRevision, table, dryRun }: PutTable): Promise<OwnedTable> {
    if (this.#stopping) throw isStopping();
    const present = this.#tables.at(owner, ifRevision);
    const next = listenersOf(table);
    this.#tables.refuseClaimed(owner, next);
    const diff = diffListeners(listenersOf(present.table), next);
    const missing = next.filter((listener) => this.#late.lacks(listener));
    if (dryRun === true) return this.#rehearse(present, table, missing);
    const doors = await this.#doors.bindInstead(missing, diff.close, {
      clear: (places) => this.sharing.withdraw(places),
      bound: () => this.kernel.change(this.#tables.with(owner, table), owner),
      failed: () => this.#bindMissing(present),
    });
    const owned = this.#apply(present, table, doors);
    this.kernel.swapped();
    await this.#tables.save();
    this.tell(owner, { kind: 'table' });
    return owned;
  }

  async #rehearse(
    present: OwnedTable,
    table: RouteTable,
    missing: readonly RoutedListener[],
  ): Promise<OwnedTable> {
    const free = missing.filter((listener) => this.#doors.overlapping(listener).length === 0);
    this.#doors.discard(await this.#doors.bindAll(free));
    const owned = this.#tables.next(present.owner, table);
    await this.kernel.rehearse(owned);
    return owned;
  }

  /** INVARIANT: synchronous. When it returns, nothing new goes where the old table led. */
  #apply(present: OwnedTable, table: RouteTable, bound: readonly Door[]): OwnedTable {
    for (const door of bound) this.#doors.add(door);
    const owned = this.#tables.replace(present.owner, table);
    this.#enforce(present, owned);
    return owned;
  }

  #enforce(present: OwnedTable, owned: OwnedTable): void {
    const { owner, revision, table } = owned;
    this.#lead(owned, performance.now());
    const wanted = new Set(listenersOf(table).map(placeKey));
    for (const listener of listenersOf(present.table)) {
      const door = wanted.has(placeKey(listener)) ? undefined : this.#doors.at(listener);
      if (door === undefined) continue;
      door.assign({ ...door.plan, route: new LiveRoute([], table.limits) });
      if (this.sharing.mayListen) this.#doors.leave(door);
      else this.#doors.retire(door);
    }
    this.#log.info('table in force', { owner, revision, routes: summaryOf(table) });
  }

  /** Points the owner's doors at the table's backends and unroutes all others of the owner. `now`: of a new table. */
  #lead({ owner, table: whole }: OwnedTable, now = SETTLED): void {
    const table = divided(whole, this.#share);
    const routed = new Set<LiveBackend>();
    const rooms = roomsOf(table);
    for (const { component, listeners, backends, leadsTo, canary } of ledRoutes(table)) {
      const { leave, slowStartMs } = routeOf(table, leadsTo) ?? {};
      const joinedAt = joiningAt(this.backends, { owner, component: leadsTo }, backends, now);
      const live = backends.map((it) => this.#backends.route(owner, leadsTo, it, { leave, joinedAt }));
      for (const backend of live) {
        routed.add(backend);
        backend.compare(canary?.id);
      }
      const route = new LiveRoute(live, table.limits, { canary, slowStartMs, room: rooms.get(component) });
      const unserved = this.#traffic.of(owner, leadsTo);
      for (const listener of listeners)
        this.#doors.at(listener)?.assign({ owner, listener: { ...listener, component }, route, unserved });
    }
    this.#backends.unrouteOthers(owner, routed);
    this.rooms.replace(owner, rooms.values());
  }

  #idle({ name }: LiveBackend): void {
    this.#log.info('an unrouted backend is idle', { ...name });
    this.tell(name.owner, { kind: 'idle', backend: name.id });
  }

  /** Of a table in force; whatever cannot be bound now is tried again at the next tick. */
  async #bindMissing(owned: OwnedTable): Promise<void> {
    await this.#late.bind(owned, () => this.#lead(owned));
    this.#lead(owned);
  }

  /** Of what the listeners cannot see here. */
  tell(owner: string, change: Change): void {
    for (const listener of this.#listeners) listener(owner, change);
  }

  #reached(backend: LiveBackend, containerPort: number, error?: Error): void {
    if (!backend.isNews(containerPort, error === undefined)) return;
    const { port } = backend.addressFor(containerPort);
    if (error === undefined) this.#log.info('a backend answers again', { ...backend.name, port });
    else this.#log.warn('a backend does not answer', { ...backend.name, port, why: error.message });
  }

  #tick(now: number): void {
    this.#doors.tick(now);
    for (const backend of this.backends) this.#tellSilent(backend, backend.tick(now));
    this.#retryMissing();
    if (this.kernel.isDue(now)) this.#turn = this.#turn.then(() => this.leadKernel());
  }

  #tellSilent({ name }: LiveBackend, ended: readonly Peer[]): void {
    for (const { client, kind, idleMs } of ended)
      this.#log.info('a silent client of an unrouted backend is let go', { ...name, client, kind, idleMs });
  }

  #retryMissing(): void {
    const owners = this.#late.due();
    if (owners.length === 0) return;
    this.#turn = this.#turn.then(async () => {
      for (const owner of this.#stopping || this.#handedOver ? [] : owners)
        await this.#bindMissing(this.table(owner));
    });
  }
}

function isStopping(): GantryError {
  const hint = 'It ends with its last connection; `gantryd proxy stop --force` ends it now.';
  const message = 'the proxy is stopping and takes no new routes';
  return new GantryError('proxy-failed', message, { retryable: true, hint });
}
