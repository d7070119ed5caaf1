/**
 * The older generations of this proxy: found by their sockets, given every table, counted with our own, and forgotten
 * when they are gone. Their sockets are named from the state directory, which is the working directory of a proxy:
 * the whole path may be too long for a socket.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { ProxyClient } from './client.ts';
import { mergedTraffic, NO_COUNTS } from './counts.ts';
import { Elder } from './elder.ts';
import { backendKey, mergeReports } from './merge.ts';
import {
  type BackendReport,
  generationSocket,
  type OlderGeneration,
  type ProxyCounts,
  type TrafficReport,
} from './protocol.ts';
import type { DataPlane } from './proxy.ts';
import { killIfThere } from './spawned.ts';

/** An elder that has not answered by then is silent: a put waits for it no longer than twice this. */
const ANSWER_MS = 2_000;
/** How often their counts are read. */
const LOOK_MS = 500;
const STOP_MS = 3_000;
const STOP_POLL_MS = 25;
const SOCKET = /^proxy-(\d+)\.sock$/;

export interface EldersOptions {
  /** The state directory. */
  readonly folder: string;
  readonly plane: DataPlane;
  readonly log: Log;
}

export class Elders {
  readonly #options: EldersOptions;
  #elders: readonly Elder[] = [];
  /** Unrouted backends that an elder held when last looked. */
  #held = new Map<string, BackendReport>();
  /** What those have counted that are gone: sums that whoever watches over time sees must not go down. */
  #left: readonly TrafficReport[] = [];
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
    const { folder, plane } = this.#options;
    const pids = (await readdir(folder)).map((name) => Number(SOCKET.exec(name)?.[1]));
    const others = pids.filter((pid) => pid > 0 && pid !== process.pid);
    this.#elders = others.map((pid) => new Elder(pid, this.#clientOf(pid), () => plane.tables));
    await this.follow();
    for (const elder of this.#elders) plane.notBelow(elder.lastRevision);
    if (this.any) this.#looks = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** Resolves when each follows the tables in force, is silent or is gone. */
  async follow(): Promise<void> {
    if (!this.any) return;
    await Promise.all(this.#elders.filter(({ state }) => state === 'follows').map((elder) => elder.follow()));
    await this.#settle();
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

  describe(): OlderGeneration[] {
    return this.#elders.map((elder) => elder.describe());
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
    clearInterval(this.#looks);
    this.#elders = [];
    this.#count([]);
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
    if (!this.any) clearInterval(this.#looks);
    const { plane } = this.#options;
    const reports = this.#reports(plane.status().backends).flat();
    const held = new Map(
      reports.filter(({ open }) => open > 0).map((backend) => [backendKey(backend), backend]),
    );
    for (const [key, { owner, id }] of this.#held)
      if (!held.has(key)) plane.tell(owner, { kind: 'idle', backend: id });
    this.#held = held;
    this.#count(reports);
    for (const { pid } of gone) {
      this.#options.log.info('an older generation has ended', { generation: pid });
      await rm(generationSocket(pid), { force: true });
    }
  }

  /** Who picks a backend goes by what all of us have open on it. */
  #count(reports: readonly BackendReport[]): void {
    const open = new Map<string, number>();
    for (const report of reports)
      open.set(backendKey(report), (open.get(backendKey(report)) ?? 0) + report.open);
    for (const backend of this.#options.plane.backends)
      backend.elsewhere = open.get(backendKey(backend.name)) ?? 0;
  }

  #reports(own: readonly BackendReport[]): BackendReport[][] {
    const routed = new Set(own.filter((backend) => backend.routed).map(backendKey));
    const isRouted = (backend: BackendReport) => routed.has(backendKey(backend));
    // What is routed here and free there is told by our own report.
    const isNews = (backend: BackendReport) => backend.open > 0 || backend.answers !== undefined;
    return this.#elders.map((elder) => elder.backends(isRouted).filter(isNews));
  }

  #clientOf(pid: number): ProxyClient {
    const { folder } = this.#options;
    return new ProxyClient({ stateDir: folder, socketPath: generationSocket(pid), deadlineMs: ANSWER_MS });
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
