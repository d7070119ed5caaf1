/**
 * One proxy process over its life: it serves, perhaps after a proxy that handed over to it; it may hand over itself
 * and is an older generation from then on; it ends when it is told to, or with its last client. Translates neither
 * HTTP nor signals.
 */
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GantryError, messageOf } from '../../errors.ts';
import type { Log, LogLevel } from '../../log.ts';
import { VERSION } from '../../version.ts';
import { holdReports, oldestFirst } from '../backends/holds.ts';
import { LATENCY_BOUNDS_MS } from '../backends/traffic.ts';
import { sumWaiting } from '../backends/waiting.ts';
import { ProxyClient } from '../control/client.ts';
import { Control } from '../control/control.ts';
import { countsOf, mergedCounts } from '../control/counts.ts';
import {
  type CutAnswer,
  type CutRequest,
  type FollowRequest,
  type GenerationReport,
  type HoldReport,
  type OwnedTable,
  PROTOCOL_VERSION,
  PROXY_LOCK,
  type ProxyMetrics,
  type ProxyStatus,
  type PutTable,
  type UpgradeAnswer,
  type UpgradeRequest,
} from '../control/protocol.ts';
import type { ChangeListener, DataPlane } from '../proxy.ts';
import { Crew } from './crew.ts';
import { Elders } from './elders.ts';
import { findLock, handOver, type Successor } from './handover.ts';
import { hearElsewhere, lastingIn, summedCounts } from './lasting.ts';
import { Standby } from './standby.ts';
import type { Succession } from './successor.ts';
import { Worker } from './worker.ts';

const LEAVE_POLL_MS = 50;
/** An older generation stays so long at most for the one that serves to ask what it has counted. */
const LAST_ASKED_MS = 2_000;

export interface GenerationOptions {
  /** The state directory, absolute, which must be the working directory too. */
  readonly folder: string;
  readonly level: LogLevel;
  readonly plane: DataPlane;
  readonly log: Log;
}

export class Generation {
  readonly plane: DataPlane;
  /** Resolves when everything is closed. */
  readonly ended: Promise<void>;
  readonly #options: GenerationOptions;
  readonly #log: Log;
  readonly #control: Control;
  readonly #elders: Elders;
  readonly #crew: Crew;
  /** Of a worker. */
  #worker: Worker | undefined;
  readonly #lock: number | undefined;
  /** Without the lock there is nothing to wait for. */
  readonly #standby: Standby | undefined;
  readonly #startedAt = new Date().toISOString();
  readonly #aborter = new AbortController();
  #handover: Promise<UpgradeAnswer> | undefined;
  /** Until it settles the older generations are not counted yet, though clients find this one. */
  #counts: Promise<unknown> = Promise.resolve();
  #puts: Promise<unknown> = Promise.resolve();
  #isElder = false;
  /** When it was last asked to follow, by performance.now(). */
  #askedAt = 0;
  #isStopping = false;
  #purges = false;
  #leaving: Promise<void> | undefined;
  #end: Promise<void> | undefined;
  #resolve: () => void = () => {};

  constructor(options: GenerationOptions) {
    this.#options = options;
    this.plane = options.plane;
    this.#log = options.log;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#lock = findLock(join(options.folder, PROXY_LOCK));
    this.#standby = this.#lock === undefined ? undefined : new Standby(options);
    this.#elders = new Elders({ ...options, settled: () => this.#settled() });
    this.#crew = new Crew({ ...options, elders: this.#elders });
    this.plane.sharing = this.#crew;
    this.#control = new Control({ generation: this, log: options.log });
  }

  /** Becomes the proxy of its state directory, with the tables on disk. INVARIANT: the caller holds the lock. */
  async serve(): Promise<void> {
    await this.#elders.clearPorts();
    await this.plane.start();
    await this.#control.start();
    await Promise.all([this.#standby?.start(), this.#elders.find()]);
    await this.#control.publish();
    this.#crew.open();
  }

  /** Accepts clients for the one that started this process, until that one has no use for it. */
  async work(): Promise<void> {
    this.#isElder = true;
    this.#worker = new Worker(this.plane, () => this.#leavesLast());
    await this.plane.bindRest();
    await this.#control.start();
    this.#worker.ready();
  }

  /** Becomes it in the place of the one that started this process. */
  async succeed(elder: Succession): Promise<void> {
    this.#handover = this.#takeOver(elder);
    this.#counts = this.#handover.catch(() => undefined); // whoever awaits #handover meets it
    await this.#handover;
    this.#handover = undefined;
  }

  /**
   * Resolves when `status` and `open` tell of every generation, and if asked for of the kernel: a container that drains
   * may be held by those alone.
   */
  async counted(alsoKernel: boolean): Promise<void> {
    await this.#counts;
    if (alsoKernel) await Promise.all([this.plane.kernel.counted(), this.#elders.heard()]);
  }

  /** Of everything that any generation carries, and of the kernel what would end with its rules; 0: it may end. */
  open(purge: boolean): number {
    const backends = this.#elders.merge(this.plane.status().backends);
    return backends.reduce((sum, { open, kernel = 0 }) => sum + open - (purge ? 0 : kernel), 0);
  }

  get isElder(): boolean {
    return this.#isElder;
  }

  status(owner?: string): ProxyStatus {
    const own = this.plane.status();
    const { listeners, owners, backends, waiting: _, ...rest } = own;
    const waiting = sumWaiting([this.plane.rooms.counts(), ...this.#elders.waiting], owner);
    const mine = (of: { readonly owner: string }) => owner === undefined || of.owner === owner;
    const { older, workers } = this.#elders;
    const self = { ...this.#self(), connections: this.plane.connections, open: this.plane.open };
    return {
      protocol: PROTOCOL_VERSION,
      ...this.#self(),
      owners: owners.filter(mine),
      listeners: this.#elders.listeners(listeners).filter(mine),
      backends: this.#elders.merge(backends).filter(mine),
      ...(older.length === 0 ? {} : { older }),
      ...(workers.length === 0 ? {} : { workers: [self, ...workers] }),
      ...(waiting === 0 ? {} : { waiting }),
      ...rest,
    };
  }

  /** Of one owner or of all; of older generations as they told last. */
  metrics(owner?: string): ProxyMetrics {
    const listeners = this.#elders.listeners(this.plane.status(owner).listeners);
    const { older, workers, usage } = this.#elders;
    const waits = [this.plane.rooms.counts(), ...this.#elders.waiting];
    const owners = new Set(waits.flatMap((of) => Object.keys(of)));
    const mine = [...owners].filter((name) => owner === undefined || name === owner);
    const { version, startedAt } = this.#self();
    const own = usageOfProcess();
    return {
      ...{ version, startedAt, listeners, latencyBoundsMs: LATENCY_BOUNDS_MS },
      ...countsOf(mergedCounts([this.plane.counts(), ...this.#elders.counts]), owner),
      generations: older.length + 1,
      silent: [...older, ...workers].filter(({ silent }) => silent === true).length,
      workers: workers.length + 1,
      olderConnections: older.reduce((sum, { connections }) => sum + connections, 0),
      waiting: Object.fromEntries(mine.map((name) => [name, sumWaiting(waits, name)])),
      residentBytes: usage.residentBytes + own.residentBytes,
      cpuSeconds: usage.cpuSeconds + own.cpuSeconds,
    };
  }

  /** Of one owner or of all, in all processes that answer. */
  async holds(owner?: string): Promise<HoldReport[]> {
    const others = await this.#elders.ask((elder) => elder.holds(owner));
    return oldestFirst([holdReports(this.plane.backends, owner), ...others]);
  }

  /** In all processes that answer. */
  async cut(request: CutRequest): Promise<CutAnswer> {
    const others = await this.#elders.ask((elder) => elder.cut(request));
    return { cut: others.reduce((sum, { cut }) => sum + cut, await this.plane.cut(request)) };
  }

  table(owner: string): OwnedTable {
    return this.plane.table(owner);
  }

  /** Waits for a handover that is under way: whoever serves then takes it. */
  async put(owner: string, put: PutTable): Promise<OwnedTable> {
    await this.#handover?.catch(() => undefined);
    if (this.#isElder) return this.#successor().put(owner, put);
    const result = this.#puts.then(() => this.#put(owner, put));
    this.#puts = result.catch(() => undefined);
    return await result;
  }

  /** INVARIANT: one at a time, until all others follow: a socket that one left is free only when all have closed it. */
  async #put(owner: string, put: PutTable): Promise<OwnedTable> {
    const owned = await this.plane.put(owner, put);
    if (put.dryRun === true) return owned;
    await this.#elders.follow();
    this.#crew.adjust();
    return owned;
  }

  subscribe(listener: ChangeListener): () => void {
    return this.plane.subscribe(listener);
  }

  /** Throws GantryError proxy-failed unless this is an older generation or a worker. */
  async follow(request: FollowRequest): Promise<GenerationReport> {
    if (!this.#isElder) throw new GantryError('proxy-failed', 'this proxy serves and follows no other');
    await this.#worker?.asked();
    this.plane.follow(request);
    const { elsewhere } = request;
    if (elsewhere !== undefined) hearElsewhere(this.plane.backends, summedCounts(elsewhere));
    this.#askedAt = performance.now();
    return this.#report();
  }

  #report(): GenerationReport {
    const { lastRevision, owners } = this.plane.tables;
    const { backends, listeners } = this.plane.status();
    return {
      ...this.#self(),
      connections: this.plane.connections,
      lastRevision,
      revisions: Object.fromEntries(owners.map(({ owner, revision }) => [owner, revision])),
      ...{ backends, listeners, lasting: lastingIn(this.plane.backends) },
      waiting: this.plane.rooms.counts(),
      counts: mergedCounts([this.plane.counts(), ...this.#elders.counts]),
      ...usageOfProcess(),
    };
  }

  /** Throws GantryError proxy-failed when the successor cannot serve; everything is as before then. */
  async upgrade(request: UpgradeRequest): Promise<UpgradeAnswer> {
    if (this.#isStopping) throw refused('the proxy is stopping', 'The next command starts the new one.');
    if (this.#isElder || this.#handover !== undefined)
      throw refused('the proxy is being upgraded already', 'See `gantryd proxy status` for how that went.');
    this.#handover = this.#handOver(request);
    return await this.#handover.finally(() => {
      this.#handover = undefined;
    });
  }

  /**
   * Accepts nothing more, finishes what it carries and ends, as do the older ones; forced, it cuts everything. What the
   * kernel leads stays, unless it is to be purged.
   */
  stop(force: boolean, purge = false): void {
    this.#purges ||= purge;
    if (force) return void this.#close();
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#log.info('stopping', { open: this.open(false), connections: this.plane.connections });
    this.#leave().catch((error) => this.#log.error('cannot stop', { why: messageOf(error) }));
  }

  async #takeOver(elder: Succession): Promise<UpgradeAnswer> {
    await elder.tables();
    await this.#control.start();
    await elder.doors();
    if (elder.isGone) await this.#elders.clearPorts();
    await this.plane.bindRest();
    await this.#control.publish();
    await Promise.all([this.#standby?.start(), this.plane.save()]);
    // Not before: it refuses to follow as long as it serves.
    await elder.retired();
    await this.plane.leadKernel();
    await this.#elders.find();
    this.#crew.open();
    return { pid: process.pid };
  }

  async #handOver(request: UpgradeRequest): Promise<UpgradeAnswer> {
    const { plane } = this;
    this.#log.info('handing over', { ...request });
    this.#standby?.leave();
    try {
      await this.#puts;
      await plane.settled();
      const { signal } = this.#aborter;
      const successor = await handOver(request, { ...this.#options, lockFd: this.#lock, signal });
      this.#becomeElder(successor);
      return { pid: successor.pid };
    } catch (error) {
      this.#log.error('not handed over', { why: messageOf(error) });
      // The successor may have got as far as taking both over.
      await this.#control.publish();
      if (!this.#aborter.signal.aborted) await this.#standby?.start();
      throw error;
    }
  }

  #becomeElder(successor: Successor): void {
    this.#isElder = true;
    this.plane.handOver();
    this.#crew.dismiss();
    // The lock is the proxy's: it must not live on in us.
    if (this.#lock !== undefined) closeSync(this.#lock);
    successor.release();
    this.#standby?.end();
    this.#elders.close();
    this.#control.endStreams();
    this.#log.info('handed over', { to: successor.pid, connections: this.plane.connections });
    this.#leavesLast();
  }

  /** Ends with its last client from now on. */
  #leavesLast(): void {
    this.#leaving ??= this.#leaveLast().catch((error) =>
      this.#log.error('cannot end', { why: messageOf(error) }),
    );
  }

  async #leave(): Promise<void> {
    const wasElder = this.#isElder;
    const successor = await this.#handover?.catch(() => undefined);
    if (this.#isElder) {
      if (!wasElder && successor !== undefined) process.kill(successor.pid, 'SIGTERM');
      await this.plane.retire();
      return this.#worker?.retire();
    }
    this.#crew.leave();
    await this.#standby?.close();
    await this.#elders.stop(false);
    await this.plane.retire();
    await this.#leaveLast();
  }

  async #leaveLast(): Promise<void> {
    while (this.plane.connections > 0 || this.#elders.any) await sleep(LEAVE_POLL_MS);
    if (this.#isElder) await this.#askedOnceMore();
    await this.#close();
  }

  /** What its last clients did is known then to the one that serves, and stays in the sums. */
  async #askedOnceMore(): Promise<void> {
    const since = performance.now();
    while (this.#askedAt < since && performance.now() - since < LAST_ASKED_MS) await sleep(LEAVE_POLL_MS);
  }

  #close(): Promise<void> {
    this.#end ??= this.#closeAll();
    return this.#end;
  }

  async #closeAll(): Promise<void> {
    this.#isStopping = true;
    this.#aborter.abort();
    await this.#handover?.catch(() => undefined);
    if (!this.#isElder) {
      this.#crew.leave();
      await this.#standby?.close();
      await this.#elders.stop(true);
      this.#elders.close();
    }
    if (this.#purges) await this.plane.kernel.purge();
    await this.plane.close();
    await this.#control.close();
    this.#resolve();
  }

  #self(): Pick<ProxyStatus, 'version' | 'pid' | 'startedAt'> {
    return { version: VERSION, pid: process.pid, startedAt: this.#startedAt };
  }

  #settled(): void {
    this.#crew.share();
    if (this.#elders.allFollow) this.plane.closeLeft();
  }

  #successor(): ProxyClient {
    return new ProxyClient({ stateDir: this.#options.folder });
  }
}

function usageOfProcess(): { residentBytes: number; cpuSeconds: number } {
  const { user, system } = process.cpuUsage();
  return { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
}

function refused(why: string, hint: string): GantryError {
  return new GantryError('proxy-failed', `it cannot be upgraded now: ${why}`, { hint, retryable: true });
}
