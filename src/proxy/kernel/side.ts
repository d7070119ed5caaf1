/**
 * The kernel plane as the data plane needs it: tells the kernel where the tables lead, beside the doors; counts for the
 * backends what it carries; and ends what is to leave. Opened by the first listener that asks for it. Only the proxy
 * that serves has one: what an older generation carries goes through its process.
 */
import { GantryError, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { LiveBackend } from '../backends/backend.ts';
import type { CutRequest, ListenerReport, OwnedTable } from '../control/protocol.ts';
import { type Backend, placeKey, planeOf, type RoutedListener } from '../tables/routes.ts';
import { UdpSeats } from '../udp-seats.ts';
import { type CarriedFlow, flowsByHost } from './carried.ts';
import { entryOf, isOfThisHost, type KernelListener, kernelListeners } from './entries.ts';
import { KernelLeaving } from './leaving.ts';
import type { KernelEntry, KernelEvents, KernelPlane, KernelTarget } from './plane.ts';
import { Readings } from './readings.ts';

/** While an unrouted backend is held by what the kernel carries. */
const POLL_MS = 250;
/** Reading ten thousand connections takes a while: so many times as long passes until they are read again. */
const POLL_SHARE = 10;
/** What was read so long ago is good enough for who only asks. */
const FRESH_MS = 100;
/** Between two tries of what could not be put in force. */
const RETRY_MS = 5_000;

export interface KernelSideOptions {
  /** Probes nothing yet. */
  readonly open: (events: KernelEvents) => Promise<KernelPlane>;
  readonly log: Log;
  /** All that are routed or held. */
  readonly backends: () => Iterable<LiveBackend>;
  /** Something about this owner's backends has changed that no table says. */
  readonly changed: (owner: string) => void;
}

/** Why a listener is not led by the kernel although its table asks for it; undefined: it is. */
type Decisions = ReadonlyMap<string, string | undefined>;

export class KernelSide {
  readonly #options: KernelSideOptions;
  readonly #seats = new UdpSeats();
  readonly #leaving = new KernelLeaving();
  readonly #told = new Set<string>();
  #plane: KernelPlane | undefined;
  #decisions: Decisions = new Map();
  #entries: readonly KernelEntry[] = [];
  /** Before, what an earlier proxy has put in force may be. */
  #isLed = false;
  readonly #readings = new Readings(() => this.#readAll());
  #poll: NodeJS.Timeout | undefined;
  #pollMs = POLL_MS;
  #failure: string | undefined;
  #retryAt = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: KernelSideOptions) {
    this.#options = options;
  }

  /**
   * Puts these tables in force. Who is led to no more counts as held until what the kernel carries has been read. Rejects
   * and leaves all as it was with plane-unavailable when `owner`'s table asks for what cannot be had, port-taken, or
   * proxy-failed. Other owners' are led as far as it goes.
   */
  async change(tables: readonly OwnedTable[], owner?: string): Promise<void> {
    const wanted = tables.flatMap(kernelListeners);
    if (this.#closed || (wanted.length === 0 && this.#plane === undefined && !this.#isExpecting())) return;
    const plane = await this.#opened();
    const decisions = await this.#decide(plane, wanted, owner);
    const entries = this.#entriesOf(wanted, decisions);
    const seats = this.#seats.listeners;
    await this.#seats.change(udpOf(wanted, decisions));
    if (!this.#isLed || JSON.stringify(entries) !== JSON.stringify(this.#entries)) {
      await this.#apply(plane, entries).catch(async (error) => {
        await this.#seats.change(seats);
        throw error;
      });
    }
    this.#decisions = decisions;
    this.#settled();
  }

  /** As `change`, for tables that are in force whatever comes of it: tried again until it succeeds. */
  async serve(tables: readonly OwnedTable[]): Promise<void> {
    try {
      await this.change(tables);
    } catch (error) {
      if (this.#failure !== messageOf(error))
        this.#options.log.error('the kernel does not lead yet', { why: messageOf(error) });
      this.#failure = messageOf(error);
      this.#retryAt = performance.now() + RETRY_MS;
    }
  }

  /** Whether it is time for `serve`. */
  isDue(now: number): boolean {
    return now >= this.#retryAt;
  }

  /** Whether the owner's table could be put; nothing changes. Rejects as `change`. */
  async rehearse(next: OwnedTable): Promise<void> {
    const wanted = kernelListeners(next);
    if (wanted.length === 0 || this.#closed) return;
    const decisions = await this.#decide(await this.#opened(), wanted, next.owner);
    await this.#seats.rehearse(udpOf(wanted, decisions));
  }

  /** The table has just been swapped: who left it may be held. */
  swapped(): void {
    this.#schedule();
  }

  /** What the doors report with what the kernel carries, and the udp ports of the tables, which have no doors. */
  reports(doors: readonly ListenerReport[], tables: readonly OwnedTable[]): ListenerReport[] {
    const udp = tables
      .flatMap(kernelListeners)
      .filter(({ listener }) => listener.kind === 'udp')
      .map(({ owner, listener: { address, port, kind }, route: { component } }) => ({
        ...{ owner, component, address, port, kind },
        connections: 0,
      }));
    return [...doors, ...udp].map((report) => this.#described(report));
  }

  /** Resolves when the backends know what the kernel carries now, or when that cannot be read. */
  async counted(): Promise<void> {
    if (this.#decisions.size === 0 && this.#poll === undefined) return;
    await this.#read(performance.now() - FRESH_MS);
  }

  /** Ends what is meant and answers how many that were. */
  async cut({ owner, backend: id, client, idleMs = 0 }: CutRequest): Promise<number> {
    if (this.#plane === undefined) return 0;
    await this.#read(performance.now());
    const now = performance.now();
    let cut = 0;
    for (const backend of this.#options.backends()) {
      if (backend.name.owner !== owner || backend.name.id !== id) continue;
      const meant = [...backend.carried.all].filter(
        ({ flow, movedAt }) =>
          (client === undefined || flow.client === client) && now - (movedAt ?? now) >= idleMs,
      );
      cut += await this.#end(backend, meant);
    }
    if (cut > 0) await this.#read(performance.now());
    return cut;
  }

  /** The kernel counts for another process from now on; the rules stay. */
  async leave(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#poll);
    this.#poll = undefined;
    this.#decisions = new Map();
    this.#seats.close();
    const now = performance.now();
    for (const backend of this.#options.backends()) backend.carry([], now, now);
    await this.#plane?.close();
  }

  /**
   * Takes out all rules, also those that another process has put there. Who ends does so whether they go or not: what
   * went wrong is told by the log, and who asked for it sees for himself.
   */
  async purge(): Promise<void> {
    try {
      const plane = await this.#opened();
      // A host that cannot have rules has none.
      if ((await plane.ability('tcp')).can) await plane.purge();
      this.#entries = [];
    } catch (error) {
      this.#options.log.error('the kernel rules could not be taken out', { why: messageOf(error) });
    }
  }

  async #opened(): Promise<KernelPlane> {
    this.#plane ??= await this.#options.open({
      targetDead: (target) => this.#targetDead(target),
      targetGone: (target) => this.#targetGone(target),
      restored: (missing, error) => this.#restored(missing, error),
    });
    return this.#plane;
  }

  async #decide(
    plane: KernelPlane,
    wanted: readonly KernelListener[],
    owner: string | undefined,
  ): Promise<Decisions> {
    const decisions = new Map<string, string | undefined>();
    for (const one of wanted) {
      const refusal = await refusalOf(plane, one);
      if (refusal !== undefined && one.owner === owner && planeOf(one.listener) === 'kernel') throw refusal;
      decisions.set(placeKey(one.listener), refusal?.message);
      if (refusal !== undefined) this.#tell(one, refusal.message);
    }
    return decisions;
  }

  #tell({ owner, listener, route: { component } }: KernelListener, why: string): void {
    const place = placeKey(listener);
    if (this.#told.has(`${place} ${why}`)) return;
    this.#told.add(`${place} ${why}`);
    this.#options.log.warn('a port is not led by the kernel', { owner, component, place, why });
  }

  #entriesOf(wanted: readonly KernelListener[], decisions: Decisions): KernelEntry[] {
    const gone = new Set(
      Array.from(this.#options.backends(), ({ name, address, carried }) =>
        carried.gone ? keyOf({ ...address, id: name.id }) : '',
      ),
    );
    const isLed = (backend: Pick<Backend, 'id' | 'pid'>) => !gone.has(keyOf(backend));
    return wanted
      .filter(({ listener }) => decisions.get(placeKey(listener)) === undefined)
      .map((one) => entryOf(one, isLed))
      .filter(({ targets }) => targets.length > 0);
  }

  async #apply(plane: KernelPlane, entries: readonly KernelEntry[]): Promise<void> {
    await plane.apply(entries);
    const appliedAt = performance.now();
    this.#expectOf(this.#entries, entries, appliedAt);
    this.#entries = entries;
    this.#isLed = true;
    if (this.#isExpecting()) void this.#read(appliedAt);
  }

  /**
   * Reading takes long where there are many connections: nobody who puts a table waits for it, and nobody leaves
   * uncounted. A connection may come to who leaves until the entries are in force.
   */
  #expectOf(before: readonly KernelEntry[], now: readonly KernelEntry[], appliedAt: number): void {
    const ids = (entries: readonly KernelEntry[]) =>
      new Set(entries.flatMap(({ targets }) => targets.map(({ id }) => id)));
    const led = ids(now);
    const left = ids(before);
    for (const { name, carried } of this.#options.backends()) {
      const hasLeft = left.has(name.id) && !led.has(name.id);
      const wasLedBefore = !this.#isLed && carried.expected;
      if (hasLeft || wasLedBefore) carried.expect(appliedAt);
    }
  }

  /** Whether a proxy before this one has left something behind that only a reading tells of. */
  #isExpecting(): boolean {
    return [...this.#options.backends()].some(({ carried }) => carried.expected);
  }

  #settled(): void {
    if (this.#failure !== undefined) this.#options.log.info('the kernel leads again');
    this.#failure = undefined;
    this.#retryAt = Number.POSITIVE_INFINITY;
  }

  /** Resolves after a reading that began by then or later. */
  async #read(notBefore: number): Promise<void> {
    try {
      await this.#readings.since(notBefore);
    } catch (error) {
      // What was read last counts: of who left the table it can only be too much.
      this.#options.log.warn('what the kernel carries cannot be read', { why: messageOf(error) });
    }
  }

  async #readAll(): Promise<void> {
    const plane = this.#plane;
    if (plane === undefined || this.#closed) return;
    const begun = performance.now();
    const flows = await plane.flows();
    this.#pollMs = Math.max(POLL_MS, (performance.now() - begun) * POLL_SHARE);
    if (this.#closed) return;
    const byHost = flowsByHost(flows);
    for (const backend of this.#byRank()) {
      const { host } = backend.address;
      backend.carry(byHost.get(host) ?? [], begun, performance.now());
      byHost.delete(host);
    }
    this.#schedule();
  }

  /** Who is routed first: the address of a container that is gone may be another's by now. */
  #byRank(): LiveBackend[] {
    const rank = ({ routed, unroutedAt }: LiveBackend) => (routed ? Number.POSITIVE_INFINITY : unroutedAt);
    return [...this.#options.backends()].sort((a, b) => rank(b) - rank(a));
  }

  #schedule(): void {
    if (this.#poll !== undefined || this.#closed) return;
    for (const { routed, carried } of this.#options.backends()) {
      if (carried.open === 0 || (routed && !carried.gone)) continue;
      this.#poll = setTimeout(() => void this.#look(), this.#pollMs);
      return;
    }
  }

  async #look(): Promise<void> {
    await this.#read(performance.now());
    const now = performance.now();
    for (const backend of this.#options.backends()) {
      const due = this.#leaving.due(backend, now);
      if (due.length > 0) await this.#letGo(backend, due);
    }
    this.#poll = undefined;
    this.#schedule();
  }

  async #letGo(backend: LiveBackend, flows: readonly CarriedFlow[]): Promise<void> {
    const { log } = this.#options;
    try {
      const ended = await this.#end(backend, flows);
      log.info('connections that the kernel carries are let go', { ...backend.name, ended });
    } catch (error) {
      log.error('connections cannot be ended', { ...backend.name, why: messageOf(error) });
    }
  }

  async #end({ carried, address }: LiveBackend, flows: readonly CarriedFlow[]): Promise<number> {
    if (flows.length === 0 || this.#plane === undefined) return 0;
    return await this.#plane.end(
      flows.map(({ flow }) => flow),
      carried.gone ? undefined : address.pid,
    );
  }

  /** What the kernel carried there is ended: nobody answers it any more. */
  #targetGone(target: KernelTarget): void {
    this.#targetDead(target);
    void this.#read(performance.now());
  }

  /** The doors prefer others at once. */
  #targetDead({ id, port, pid }: KernelTarget): void {
    for (const backend of this.#options.backends()) {
      const { name, address } = backend;
      if (name.id !== id || address.pid !== pid) continue;
      // Told once for each of its ports.
      if (!backend.carried.gone)
        this.#options.log.warn('the process of a container has ended: nobody is led there', { ...name, pid });
      backend.carried.gone = true;
      backend.shun(port);
      this.#options.changed(name.owner);
    }
  }

  #restored(missing: string, error?: Error): void {
    const { log } = this.#options;
    if (error === undefined) log.warn('rules of the kernel plane were missing, and are back', { missing });
    else log.error('rules of the kernel plane are missing', { missing, why: error.message });
    this.#failure = error === undefined ? undefined : `${missing} is missing: ${error.message}`;
  }

  #described(report: ListenerReport): ListenerReport {
    const key = placeKey(report);
    if (!this.#decisions.has(key)) return report;
    const planeWhy = this.#failure ?? this.#decisions.get(key);
    const connections = report.connections + this.#carriedBy(report);
    return { ...report, connections, ...(planeWhy === undefined ? { plane: 'kernel' } : { planeWhy }) };
  }

  #carriedBy({ port, kind }: Pick<ListenerReport, 'port' | 'kind'>): number {
    let sum = 0;
    for (const { carried } of this.#options.backends())
      for (const { flow } of carried.all)
        if (flow.listenerPort === port && (flow.protocol === 'udp') === (kind === 'udp')) sum += 1;
    return sum;
  }
}

/** Why the kernel cannot lead this listener; undefined: it can. */
async function refusalOf(
  plane: KernelPlane,
  { listener, route }: KernelListener,
): Promise<GantryError | undefined> {
  const asks = `${route.component} asks for the kernel plane on ${placeKey(listener)}`;
  if (route.backends.some(isOfThisHost))
    return new GantryError('plane-unavailable', `${asks}, but its container is on the network of the host`, {
      hint: 'Take `"network": "host"` or the kernel plane out.',
    });
  const ability = await plane.ability(listener.kind === 'udp' ? 'udp' : 'tcp');
  if (ability.can) return undefined;
  const { why, hint } = ability;
  return new GantryError('plane-unavailable', `${asks}, which this host cannot: ${why}`, { hint });
}

function udpOf(wanted: readonly KernelListener[], decisions: Decisions): RoutedListener[] {
  return wanted
    .filter(({ listener }) => listener.kind === 'udp' && decisions.get(placeKey(listener)) === undefined)
    .map(({ listener, route: { component } }) => ({ ...listener, component }));
}

function keyOf({ id, pid }: Pick<Backend, 'id' | 'pid'>): string {
  return `${id} ${pid}`;
}
