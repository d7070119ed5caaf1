/**
 * The proxy processes beside the one that serves, older generations and workers: found by their sockets or added, given
 * every table, counted with our own, and forgotten when they are gone. Their sockets are named from the state directory, which is the working directory of a proxy:
 * the whole path may be too long for a socket.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { ProxyClient } from '../control/client.ts';
import { mergedTraffic, NO_COUNTS } from '../control/counts.ts';
import { backendKey, mergeReports } from '../control/merge.ts';
import {
  type BackendReport,
  generationSocket,
  type ListenerReport,
  type OlderGeneration,
  type OpenCount,
  type ProxyCounts,
  type TrafficReport,
  type WorkerReport,
} from '../control/protocol.ts';
import type { DataPlane } from '../proxy.ts';
import { placeKey } from '../tables/routes.ts';
import { Elder } from './elder.ts';
import { hearElsewhere, lastingIn, summedCounts } from './lasting.ts';
import { killIfThere } from './spawned.ts';

/** An elder that has not answered by then is silent: a put waits for it no longer than twice this. */
const ANSWER_MS = 2_000;
/** How often their counts are read. */
const LOOK_MS = 500;
/** What workers have told so long ago is good enough for who asks. */
const FRESH_MS = 50;
/** How long ports wait for a worker of a proxy that died. */
const CLEAR_MS = 500;
const STOP_MS = 3_000;
const STOP_POLL_MS = 25;
const SOCKET = /^proxy-(\d+)\.sock$/;

export interface EldersOptions {
  /** The state directory. */
  readonly folder: string;
  readonly plane: DataPlane;
  readonly log: Log;
  /** Called whenever it may have changed who follows which tables. */
  readonly settled: () => void;
}

export class Elders {
  readonly #options: EldersOptions;
  #elders: readonly Elder[] = [];
  /** Unrouted backends that an elder held when last looked. */
  #held = new Map<string, BackendReport>();
  /** What those have counted that are gone: sums that whoever watches over time sees must not go down. */
  #left: readonly TrafficReport[] = [];
  #leftCpuSeconds = 0;
  #heardAt = Number.NEGATIVE_INFINITY;
  #hearing: Promise<void> | undefined;
  #looks: NodeJS.Timeout | undefined;
  #looking = false;

  constructor(options: EldersOptions) {
    this.#options = options;
  }

  get any(): boolean {
    return this.#elders.length > 0;
  }

  /** Finds them and waits until they follow or are silent. Revisions given out from then on are above theirs. */
  async find(): Promise<void> {
    this.#elders = (await this.#pids()).map((pid) => this.#elderOf(pid));
    await this.follow();
    for (const elder of this.#elders) this.#options.plane.notBelow(elder.lastRevision);
    this.#watch();
  }

  /** Has workers of a proxy that died close their listening sockets: their ports are to be bound anew. */
  async clearPorts(): Promise<void> {
    const clients = (await this.#pids()).map((pid) => this.#clientOf(pid, CLEAR_MS));
    // Who is gone has none, and of who does not answer the ports are tried again later.
    await Promise.allSettled(clients.map((client) => client.follow({ lastRevision: 0, owners: [] })));
  }

  /** A worker that is to get the listening sockets. Resolves when it follows, is silent or is gone. */
  async add(pid: number): Promise<void> {
    const elder = this.#elderOf(pid);
    elder.role = 'joins';
    this.#elders = [...this.#elders, elder];
    this.#watch();
    await elder.follow();
    await this.#settle();
  }

  /** Whether each has confirmed the tables in force. */
  get allFollow(): boolean {
    return this.#elders.every(({ isCurrent }) => isCurrent);
  }

  /** Whether it has confirmed the tables in force. */
  follows(pid: number): boolean {
    return this.#elders.some((elder) => elder.pid === pid && elder.isCurrent);
  }

  /** It accepts clients. */
  works(pid: number): void {
    for (const elder of this.#elders) if (elder.pid === pid) elder.role = 'works';
  }

  /** It is a worker no more. */
  retired(pid: number): void {
    for (const elder of this.#elders) if (elder.pid === pid) elder.role = 'older';
  }

  /** Resolves when each worker that answers has told what it carries now, or a moment ago. */
  async heard(): Promise<void> {
    if (this.#elders.every(({ role }) => role === 'older') || performance.now() - this.#heardAt < FRESH_MS)
      return;
    this.#hearing ??= this.follow().finally(() => {
      this.#hearing = undefined;
    });
    await this.#hearing;
  }

  /** Resolves when each follows the tables in force, is silent or is gone. */
  async follow(): Promise<void> {
    if (!this.any) return;
    const begun = performance.now();
    await Promise.all(this.#elders.filter(({ state }) => state === 'follows').map((elder) => elder.follow()));
    await this.#settle();
    this.#heardAt = Math.max(begun, this.#heardAt);
  }

  /** Our own counts and theirs. */
  merge(own: readonly BackendReport[]): BackendReport[] {
    if (!this.any) return [...own];
    return mergeReports(own, this.#reports(own));
  }

  /** Of each, by owner. */
  get waiting(): readonly Readonly<Record<string, number>>[] {
    return this.#elders.map((elder) => elder.waiting);
  }

  /** Of each as it told last, and of those that are gone. */
  get counts(): readonly ProxyCounts[] {
    return [{ ...NO_COUNTS, traffic: this.#left }, ...this.#elders.map(({ counts }) => counts)];
  }

  get older(): OlderGeneration[] {
    const older = this.#elders.filter(({ role }) => role === 'older').map((elder) => elder.describe());
    return older.sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
  }

  get workers(): WorkerReport[] {
    return this.#elders.filter(({ role }) => role === 'works').map((elder) => elder.describe());
  }

  /** Ours with what workers have on each. */
  listeners(own: readonly ListenerReport[]): ListenerReport[] {
    const theirs = this.#elders.flatMap(({ listeners }) => listeners);
    if (theirs.length === 0) return [...own];
    const sums = new Map<string, number>();
    for (const of of theirs) sums.set(placeKey(of), (sums.get(placeKey(of)) ?? 0) + of.connections);
    return own.map((of) => ({ ...of, connections: of.connections + (sums.get(placeKey(of)) ?? 0) }));
  }

  /** What they take, and took that are gone. */
  get usage(): { readonly residentBytes: number; readonly cpuSeconds: number } {
    const residentBytes = this.#elders.reduce((sum, elder) => sum + elder.residentBytes, 0);
    const cpuSeconds = this.#elders.reduce((sum, elder) => sum + elder.cpuSeconds, this.#leftCpuSeconds);
    return { residentBytes, cpuSeconds };
  }

  /** Asks each that answers. What one does not answer in time is left out. */
  async ask<T>(call: (client: ProxyClient) => Promise<T>): Promise<T[]> {
    const asked = this.#elders.filter(({ state }) => state === 'follows');
    const results = await Promise.allSettled(asked.map(({ pid }) => call(this.#clientOf(pid))));
    return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  }

  /** Has them end: with their last connection, or forced at once, also those that do not answer. */
  async stop(force: boolean): Promise<void> {
    const { folder } = this.#options;
    const elders = this.#elders;
    // Who does not answer is stopped, by the next look or below.
    await Promise.allSettled(elders.map((elder) => elder.stop(force)));
    if (!force) return;
    const deadline = performance.now() + STOP_MS;
    for (const { pid } of elders) {
      while ((await isProxyOf(pid, folder)) && performance.now() < deadline) await sleep(STOP_POLL_MS);
      if (await isProxyOf(pid, folder)) killIfThere(pid);
      await rm(generationSocket(pid), { force: true });
    }
  }

  close(): void {
    this.#elders = [];
    this.#watch();
    this.#count();
  }

  #watch(): void {
    if (this.any) this.#looks ??= setInterval(() => void this.#look(), LOOK_MS);
    else {
      clearInterval(this.#looks);
      this.#looks = undefined;
    }
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      await Promise.all(this.#elders.map((elder) => elder.follow()));
      await this.#settle();
    } finally {
      this.#looking = false;
    }
  }

  /** Forgets who is gone, and tells of each backend that is not held any more. */
  async #settle(): Promise<void> {
    const gone = this.#elders.filter(({ state }) => state === 'gone');
    this.#left = mergedTraffic([...this.#left, ...gone.flatMap(({ counts }) => counts.traffic)]);
    this.#elders = this.#elders.filter(({ state }) => state !== 'gone');
    this.#leftCpuSeconds += gone.reduce((sum, elder) => sum + elder.cpuSeconds, 0);
    this.#watch();
    const { plane } = this.#options;
    const own = plane.status().backends;
    const reports = this.#reports(own).flat();
    const routed = new Set(own.filter((backend) => backend.routed).map(backendKey));
    const held = new Map(
      reports.filter(({ open }) => open > 0).map((backend) => [backendKey(backend), backend]),
    );
    for (const [key, { owner, id }] of this.#held)
      if (!held.has(key) && !routed.has(key)) plane.tell(owner, { kind: 'idle', backend: id });
    this.#held = held;
    this.#count();
    for (const { pid } of gone) {
      this.#options.log.info('a process beside this one has ended', { generation: pid });
      await rm(generationSocket(pid), { force: true });
    }
    this.#options.settled();
  }

  /** Who picks a backend goes by what all of us have open on it. */
  #count(): void {
    const theirs = this.#elders.flatMap(({ lasting }) => lasting);
    hearElsewhere(this.#options.plane.backends, summedCounts(theirs));
  }

  /** What others than this one have open, we among them. */
  #elsewhere(elder: Elder): OpenCount[] {
    const others = this.#elders.filter((other) => other !== elder).flatMap(({ lasting }) => lasting);
    return [...summedCounts([...lastingIn(this.#options.plane.backends), ...others]).values()];
  }

  #reports(own: readonly BackendReport[]): BackendReport[][] {
    const routed = new Set(own.filter((backend) => backend.routed).map(backendKey));
    const isRouted = (backend: BackendReport) => routed.has(backendKey(backend));
    // What is routed here and free there is told by our own report.
    const isNews = (backend: BackendReport) => backend.open > 0 || backend.answers !== undefined;
    return this.#elders.map((elder) => elder.backends(isRouted).filter(isNews));
  }

  /** By the sockets in the state directory. */
  async #pids(): Promise<number[]> {
    const pids = (await readdir(this.#options.folder)).map((name) => Number(SOCKET.exec(name)?.[1]));
    return pids.filter((pid) => pid > 0 && pid !== process.pid);
  }

  #elderOf(pid: number): Elder {
    const { plane } = this.#options;
    return new Elder(
      pid,
      this.#clientOf(pid),
      () => plane.tables,
      (elder) => this.#elsewhere(elder),
    );
  }

  #clientOf(pid: number, deadlineMs = ANSWER_MS): ProxyClient {
    const { folder } = this.#options;
    return new ProxyClient({ stateDir: folder, socketPath: generationSocket(pid), deadlineMs });
  }
}

/** By its command line: the number of a process that has ended may be another's. */
async function isProxyOf(pid: number, folder: string): Promise<boolean> {
  try {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    return words[words.indexOf('--state-dir') + 1] === folder;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return false;
    throw error;
  }
}
