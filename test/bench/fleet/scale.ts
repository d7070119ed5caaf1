/**
 * Many agents around three members of etcd: what they ask of etcd at rest, how long a change takes to reach all of
 * them, how long an update takes to go through all of them, and where the time goes. The agents are the real ones,
 * each with its own connections, in a few processes; engines and proxies are simulated, and state directories are in
 * memory: five hundred hosts on one disk would measure the disk.
 */
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '../../../src/cluster/etcd/etcd-store.ts';
import { type RolloutValue, readRollout, readStatus } from '../../../src/cluster/values.ts';
import { messageOf } from '../../../src/errors.ts';
import type { Etcd } from '../../ground/etcd.ts';
import { type Cleanup, tempFolder, until } from '../../ground/harness.ts';
import type { SelfTimes } from '../self-times.ts';
import { AgentsProcess, type Moment, type Template, type Usage } from './agents-process.ts';
import { type EtcdTotals, etcdTotals, startBenchEtcd } from './etcd.ts';
import { type Asked, monotonicMs, Operator } from './operator.ts';

export interface ScaleOptions {
  /** Growing: agents are added. */
  readonly agents: readonly number[];
  readonly components: number;
  readonly restMs: number;
  readonly changes: number;
  readonly maxParallel: number;
  readonly say: (line: string) => void;
}

/** What was used in a window of time, by all processes with agents and by etcd. */
export interface Window {
  readonly ms: number;
  readonly agentsCpuMs: number;
  /** Of processes that the agents started: flock(1). */
  readonly childrenCpuMs: number;
  readonly etcdCpuMs: number;
  /** By gRPC method. */
  readonly requests: Readonly<Record<string, number>>;
  readonly puts: number;
  readonly deletes: number;
  readonly watchMessages: number;
  readonly events: number;
  /** Where one of the processes with agents spent its time, which takes it a little longer for being asked. */
  readonly profile: SelfTimes | undefined;
}

export interface Size {
  readonly agents: number;
  /** Until all of the new ones followed everything. */
  readonly startedMs: number;
  readonly rssPerAgent: number;
  readonly heapPerAgent: number;
  readonly etcdRss: number;
  readonly etcdDbBytes: number;
  readonly rest: Window;
  /** Each: milliseconds from when the write was sent, for each agent, sorted. */
  readonly changes: readonly (readonly number[])[];
  /** Or why it did not come to its end here. */
  readonly wave: Wave | string;
  readonly troubles: readonly string[];
}

export interface Wave {
  readonly totalMs: number;
  /** Milliseconds since the write was sent: all are in the queue; the first may switch; all have settled. */
  readonly preparedMs: number;
  readonly openedMs: number;
  readonly settledMs: number;
  /** Each host's own: from its turn to settled, from its turn to the switch. */
  readonly turnMs: readonly number[];
  readonly switchMs: readonly number[];
  readonly window: Window;
}

const PROCESSES = 4;
const SETTLE_MS = 180_000;
const WAVE_MS = 180_000;
const REACT_MS = 60_000;
/** Between changes: what one leaves to do is not to meet the next. */
const APART_MS = 500;

export async function measureScale(t: Cleanup, options: ScaleOptions): Promise<readonly Size[]> {
  const etcd = await startBenchEtcd(t, 3);
  const store = openStore({ endpoints: etcd.endpoints, callTimeoutMs: 20_000 });
  t.after(() => store.close());
  const fleet = new Crowd(t, etcd, new Operator(store), options);
  await fleet.begin(await memoryFolder(t));
  const sizes: Size[] = [];
  for (const agents of options.agents) {
    const size = await fleet.measure(agents);
    sizes.push(size);
    if (typeof size.wave === 'string') break; // more would not come to the end either
  }
  return sizes;
}

/** Removing the ground takes the mount away as well. */
async function memoryFolder(t: Cleanup): Promise<string> {
  const folder = join(await tempFolder(t), 'hosts');
  await mkdir(folder);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', folder], { encoding: 'utf8' });
  if (mounted.status !== 0) throw new Error(`no file system in memory at ${folder}: ${mounted.stderr}`);
  t.after(() => {
    spawnSync('umount', ['--lazy', folder]);
  });
  return folder;
}

class Crowd {
  readonly #etcd: Etcd;
  readonly #operator: Operator;
  readonly #options: ScaleOptions;
  readonly #names: readonly string[];
  readonly #processes: readonly AgentsProcess[];
  #folder = '';
  #template: Template | undefined;
  #agents = 0;

  constructor(t: Cleanup, etcd: Etcd, operator: Operator, options: ScaleOptions) {
    this.#etcd = etcd;
    this.#operator = operator;
    this.#options = options;
    this.#names = Array.from({ length: options.components }, (_, i) => `c${i + 1}`);
    this.#processes = Array.from({ length: PROCESSES }, () => new AgentsProcess(t));
  }

  /** The first host brings its components up; the others begin as copies of it that were switched off and on. */
  async begin(folder: string): Promise<void> {
    this.#folder = folder;
    await this.#operator.deploy(this.#names);
    await this.#add(1);
    await this.#settled();
    this.#template = await this.#processes[0]?.order('template', { components: this.#names });
  }

  async measure(agents: number): Promise<Size> {
    const { say, restMs } = this.#options;
    say(`${agents} agents: starting`);
    const before = await this.#usage();
    const began = monotonicMs();
    const added = agents - this.#agents;
    await this.#add(added);
    await this.#settled();
    const startedMs = monotonicMs() - began;
    const after = await this.#usage();
    await delay(APART_MS * 20); // what starts together does some things together
    say(`${agents} agents: at rest`);
    const { window: rest } = await this.#window(() => delay(restMs));
    const troubles = troublesIn(await this.#moments());
    say(`${agents} agents: changes`);
    const changes = await this.#changes();
    say(`${agents} agents: a wave`);
    const wave = await this.#wave().catch((error: unknown) => ({ wave: messageOf(error), troubles: [] }));
    const { rss: etcdRss, dbBytes } = await etcdTotals(this.#etcd);
    const per = (field: 'rss' | 'heapUsed') => (after[field] - before[field]) / added;
    return {
      ...{ agents, startedMs, rssPerAgent: per('rss'), heapPerAgent: per('heapUsed') },
      ...{ etcdRss, etcdDbBytes: dbBytes, rest, changes },
      ...{ wave: wave.wave, troubles: [...troubles, ...wave.troubles] },
    };
  }

  async #add(count: number): Promise<void> {
    const names = Array.from({ length: count }, (_, i) => `h${this.#agents + i + 1}`);
    const shares = this.#processes.map((_, p) => names.filter((__, i) => i % PROCESSES === p));
    const shared = { endpoints: this.#etcd.endpoints, folder: this.#folder };
    const template = this.#template === undefined ? {} : { template: this.#template };
    await Promise.all(
      this.#processes.map((p, i) => p.order('run', { ...shared, ...template, names: shares[i] ?? [] })),
    );
    this.#agents += count;
  }

  /** All agents have told of all components, and are done with what was asked for. */
  async #settled(): Promise<void> {
    const { store, keys } = this.#operator;
    const statuses = keys.allStatuses();
    const all = this.#agents * this.#names.length;
    const told = async () => (await store.count(statuses)) === all;
    await until(told, { timeoutMs: SETTLE_MS, what: `${all} statuses` });
    const settled = async () => {
      const { entries } = await store.list(statuses);
      return entries.every((entry) => (readStatus(entry)?.settled ?? 0) > 0);
    };
    await until(settled, { timeoutMs: SETTLE_MS, what: 'all to be settled' });
  }

  /** Each stops what is stopped already: from the second on nothing but the decision itself is to be done. */
  async #changes(): Promise<readonly (readonly number[])[]> {
    const name = this.#names.at(-1) ?? '';
    const times: (readonly number[])[] = [];
    for (let i = 0; i <= this.#options.changes; i++) {
      await this.#moments();
      const asked = await this.#operator.stop(name);
      await this.#followed(name, asked);
      const moments = (await this.#moments()).filter(([, component]) => component === name);
      const first = new Map<string, number>();
      for (const [host, , , at] of moments) if (!first.has(host)) first.set(host, at - asked.sentAt);
      if (i > 0) times.push([...first.values()].sort((a, b) => a - b));
      await delay(APART_MS);
    }
    return times;
  }

  async #followed(name: string, { generation }: Asked): Promise<void> {
    const { store, keys } = this.#operator;
    const all = async () => {
      const { entries } = await store.list(keys.statuses(name));
      return entries.every((entry) => readStatus(entry)?.settled === generation);
    };
    await until(all, { timeoutMs: REACT_MS, what: `all to settle on change ${generation} of ${name}` });
  }

  async #wave(): Promise<{ readonly wave: Wave; readonly troubles: readonly string[] }> {
    const [name = ''] = this.#names;
    const { maxParallel } = this.#options;
    const update = {
      order: 'start-first',
      maxParallel,
      onFailure: 'pause',
      monitorMs: 0,
      keepOldMs: 0,
    } as const;
    await this.#moments();
    const { window, result } = await this.#window(async () => {
      const asked = await this.#operator.update(name, { update });
      await this.#done(name, asked);
      return { asked, endedAt: monotonicMs() };
    });
    const moments = await this.#moments();
    const wave = waveOf(moments, name, result.asked.sentAt, result.endedAt);
    return { wave: { ...wave, window }, troubles: troublesIn(moments) };
  }

  async #done(name: string, { generation }: Asked): Promise<void> {
    const { store, keys } = this.#operator;
    const over: readonly RolloutValue['state'][] = ['done', 'failed', 'paused', 'superseded'];
    const ended = async () => {
      const rollout = readRollout(await store.get(keys.rollout(name)));
      return rollout?.generation === generation && over.includes(rollout.state) ? rollout : undefined;
    };
    const { state, reason } = await until(ended, {
      timeoutMs: WAVE_MS,
      what: `the rollout of ${name} to end`,
    });
    if (state !== 'done') throw new Error(`the rollout of ${name} is ${state}: ${reason}`);
  }

  async #window<T>(during: () => Promise<T>): Promise<{ readonly window: Window; readonly result: T }> {
    const [agents, etcd] = [await this.#usage(), await etcdTotals(this.#etcd)];
    const [first] = this.#processes;
    await first?.order('profile', { on: true });
    const began = monotonicMs();
    const result = await during();
    const ms = monotonicMs() - began;
    const profile = await first?.order('profile', { on: false });
    const [etcdAfter, agentsAfter] = [await etcdTotals(this.#etcd), await this.#usage()];
    const window = {
      ...{ ms, agentsCpuMs: agentsAfter.cpuMs - agents.cpuMs, etcdCpuMs: etcdAfter.cpuMs - etcd.cpuMs },
      childrenCpuMs: agentsAfter.childrenMs - agents.childrenMs,
      ...etcdBetween(etcd, etcdAfter),
      profile,
    };
    return { window, result };
  }

  async #moments(): Promise<readonly Moment[]> {
    return (await Promise.all(this.#processes.map((p) => p.order('moments', {})))).flat();
  }

  async #usage(): Promise<Omit<Usage, 'at'>> {
    const all = await Promise.all(this.#processes.map((p) => p.order('usage', {})));
    const sum = (field: keyof Usage) => all.reduce((total, usage) => total + usage[field], 0);
    return {
      ...{ rss: sum('rss'), heapUsed: sum('heapUsed') },
      ...{ cpuMs: sum('cpuMs'), childrenMs: sum('childrenMs') },
    };
  }
}

function etcdBetween(before: EtcdTotals, after: EtcdTotals) {
  const methods = Object.entries(after.requests);
  const requests = methods.map(([name, total]) => [name, total - (before.requests[name] ?? 0)] as const);
  return {
    requests: Object.fromEntries(requests.filter(([, count]) => count > 0)),
    puts: after.puts - before.puts,
    deletes: after.deletes - before.deletes,
    watchMessages: after.watchMessages - before.watchMessages,
    events: after.eventsSent - before.eventsSent,
  };
}

function waveOf(moments: readonly Moment[], component: string, sentAt: number, endedAt: number) {
  const own = moments.filter(([, name]) => name === component);
  const times = (what: string) => own.filter((m) => m[2] === what).map((m) => m[3] - sentAt);
  const byHost = new Map<string, Map<string, number>>();
  for (const [host, , what, at] of own) {
    const known = byHost.get(host) ?? new Map<string, number>();
    if (!known.has(what)) known.set(what, at);
    byHost.set(host, known);
  }
  const between = (from: string, to: string) =>
    [...byHost.values()]
      .flatMap((at) => (at.has(from) && at.has(to) ? [(at.get(to) ?? 0) - (at.get(from) ?? 0)] : []))
      .sort((a, b) => a - b);
  return {
    totalMs: endedAt - sentAt,
    preparedMs: Math.max(...times('queue')),
    openedMs: Math.min(...times('adopt')),
    settledMs: Math.max(...times('settle')),
    turnMs: between('adopt', 'settle'),
    switchMs: between('adopt', 'switched'),
  };
}

function troublesIn(moments: readonly Moment[]): readonly string[] {
  const troubles = moments.filter(([, , what]) => what.startsWith('trouble'));
  return troubles.map(([host, component, what]) => `${host} ${component} ${what}`);
}
