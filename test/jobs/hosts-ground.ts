/**
 * The ground of the tests of hosts that run jobs: a memory store, a clock that is moved by hand, and hosts whose
 * containers are entries of a table: they run for as long as they are told, whether their host's process lives or not.
 */
import { join } from 'node:path';
import {
  type CursorValue,
  type RunEnd,
  type RunValue,
  readClaim,
  readRun,
  type ScheduleValue,
} from '../../src/cluster/job-values.ts';
import { keys } from '../../src/cluster/keys.ts';
import type { Write } from '../../src/cluster/store.ts';
import type { Job, Schedule } from '../../src/config/job.ts';
import type { JobContainer, JobEngine } from '../../src/docker/job-engine.ts';
import { GantryError } from '../../src/errors.ts';
import type { AgentEvent } from '../../src/events.ts';
import type { ExecutionInput } from '../../src/jobs/execution/execution.ts';
import { type JobsHostInput, runWithClock } from '../../src/jobs/jobs-host.ts';
import { cancelWanted, newRun } from '../../src/jobs/runs.ts';
import type { SecretFiles, Secrets } from '../../src/secrets/secrets.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { MemoryStore } from '../cluster/memory-store.ts';
import { ManualClock } from '../docker/fake-clock.ts';
import { until } from '../ground/harness.ts';
import { AT, aJob } from './job-values.ts';

export const KEYS = keys();
export const PROJECT = KEYS.project('shop');

/** One attempt's container, as the engine of its host knows it. */
export interface Box {
  readonly run: string;
  readonly attempt: number;
  readonly host: string;
  readonly startedAt: number;
  /** When it ends, or ended, by itself or stopped. */
  endsAt: number;
  readonly exitCode: number;
  why: string;
  removed: boolean;
  /** How its execution ended: kept, for a process that was killed before that was written. */
  end?: RunEnd;
}

/** What a run's container does. */
export interface Script {
  readonly takesMs: number;
  readonly exitCode?: number;
}

export class World {
  readonly clock = new ManualClock(AT);
  readonly cluster = new MemoryCluster(this.clock);
  readonly boxes: Box[] = [];
  readonly events: (AgentEvent & { readonly host: string })[] = [];
  readonly hosts: TestHost[] = [];
  /** Of a run's attempt. */
  script: (run: RunValue) => Script = () => ({ takesMs: 2_000 });
  /** Images that can be had. */
  readonly images = new Set(['busybox:1']);
  registryIsAway = false;
  /** Names of the containers whose secrets were to stay, at each look. */
  readonly secretsKept: (readonly string[])[] = [];
  /** By how much the clocks of the hosts are wrong. */
  skewMs: (host: string) => number = () => 0;

  host(name: string, options: Partial<JobsHostInput> = {}): TestHost {
    const host = new TestHost(this, name, options);
    this.hosts.push(host);
    return host;
  }

  /** Hosts h1, h2 …, all started, each with its presence told. */
  async fleet(count: number, options: Partial<JobsHostInput> = {}): Promise<readonly TestHost[]> {
    const hosts = Array.from({ length: count }, (_, i) => this.host(`h${i + 1}`, options));
    for (const host of hosts) host.start();
    await this.clock.advance(100);
    return hosts;
  }

  put(key: string, value: object): void {
    this.cluster.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]);
  }

  submit(id: string, job: Partial<Job> = {}): void {
    const made = newRun({ id, job: aJob(job), input: { kind: 'none' }, by: 'ann', at: this.clock.now() });
    this.put(PROJECT.jobs.run(id), made);
  }

  push(schedule: Partial<Schedule> & Pick<Schedule, 'name' | 'cron'>, { isChecked = true } = {}): void {
    const whole: Schedule = {
      ...{ timeZone: 'UTC', overlap: 'forbid', missed: 'runOnce', suspended: false, job: aJob() },
      ...schedule,
    };
    const at = new Date(this.clock.now()).toISOString();
    const checked = isChecked ? { checked: { at, host: 'h0' } } : {};
    const value: ScheduleValue = { format: 1, schedule: whole, by: 'ann', at, ...checked };
    this.put(PROJECT.jobs.schedule(schedule.name), value);
    this.put(PROJECT.jobs.cursor(schedule.name), { format: 1, instant: at } satisfies CursorValue);
  }

  suspend(name: string): void {
    const key = PROJECT.jobs.schedule(name);
    const value: ScheduleValue = JSON.parse(this.cluster.get(key)?.value ?? '');
    this.put(key, { ...value, schedule: { ...value.schedule, suspended: true } });
  }

  cancel(id: string): void {
    const wanted = cancelWanted(this.active(id), 'ann', this.clock.now());
    this.put(PROJECT.jobs.run(id), wanted);
  }

  /** Under way, or waiting to be. */
  active(id: string): RunValue {
    const run = readRun(this.cluster.get(PROJECT.jobs.run(id)));
    if (run === undefined) throw new Error(`${id} is not under way`);
    return run;
  }

  ended(): readonly RunValue[] {
    return this.cluster.list(PROJECT.allEnded()).entries.flatMap((entry) => readRun(entry) ?? []);
  }

  /** All there are, the oldest first. */
  all(): readonly RunValue[] {
    const active = this.cluster.list(PROJECT.jobs.runs()).entries.flatMap((entry) => readRun(entry) ?? []);
    return [...active, ...this.ended()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Wherever it is. */
  run(id: string): RunValue | undefined {
    const there = this.cluster.get(PROJECT.jobs.run(id)) ?? this.cluster.get(PROJECT.ended(id));
    return readRun(there);
  }

  claimant(id: string): string | undefined {
    return readClaim(this.cluster.get(PROJECT.jobs.claim(id)))?.host;
  }

  /** Until it is so, in steps of the clock. */
  async until(what: string, check: () => boolean, withinMs = 120_000, stepMs = 100): Promise<void> {
    for (let passed = 0; !check(); passed += stepMs) {
      if (passed > withinMs) throw new Error(`waited ${withinMs} ms in vain: ${what}`);
      await this.clock.advance(stepMs);
    }
  }

  /** For a host that ends by itself: it removes files at its end, which takes real time, whatever the clock says. */
  async untilEnded(host: TestHost): Promise<void> {
    const check = async () => {
      await this.clock.advance(100);
      return host.hasEnded;
    };
    await until(check, { timeoutMs: 10_000, what: 'the host to end by itself' });
  }

  boxesOf(run: string): readonly Box[] {
    return this.boxes.filter((box) => box.run === run);
  }

  async stopped(host: TestHost): Promise<void> {
    const stopping = host.stop();
    await this.clock.advance(0);
    await stopping;
  }

  /** For the end of a test: nobody goes on. */
  async close(): Promise<void> {
    const stopped = Promise.all(this.hosts.map((host) => host.stop()));
    await this.clock.advance(5_000);
    await stopped;
    this.cluster.shutDown();
  }
}

export class TestHost {
  readonly world: World;
  readonly name: string;
  readonly #options: Partial<JobsHostInput>;
  store: MemoryStore;
  #ended = new AbortController();
  #running: Promise<void> | undefined;
  /** Its process has ended by itself. */
  hasEnded = false;

  constructor(world: World, name: string, options: Partial<JobsHostInput>) {
    this.world = world;
    this.name = name;
    this.#options = options;
    this.store = new MemoryStore(world.cluster);
  }

  get isUp(): boolean {
    return this.#running !== undefined;
  }

  start(): void {
    if (this.#running !== undefined) return;
    this.#ended = new AbortController();
    this.store = new MemoryStore(this.world.cluster);
    const { clock, skewMs } = this.world;
    const time = {
      wall: () => clock.now() + skewMs(this.name),
      steady: () => clock.now(),
      after: (ms: number, run: () => void) => clock.after(ms, run),
    };
    const input = { ...hostInput(this.world, this.name), store: this.store, ...this.#options };
    this.hasEnded = false;
    this.#running = runWithClock(input, time, this.#ended.signal).then(() => {
      this.hasEnded = true;
    });
  }

  /** Ends as when it is told to; what runs goes on. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    this.#ended.abort();
    await running;
  }

  /** Nothing of it reaches the store any more; its leases end by themselves, its containers do not. */
  kill(): void {
    this.store.disconnect();
    this.#ended.abort();
    this.#running = undefined;
  }

  /** The next commit of this kind happens, and its answer is lost, which shows after `afterMs`. */
  loseAnswer(concerns: (writes: readonly Write[]) => boolean, { afterMs = 0 } = {}): void {
    const { store } = this;
    const commit = store.commit.bind(store);
    store.commit = async (conditions, writes) => {
      const answer = await commit(conditions, writes);
      if (!concerns(writes)) return answer;
      store.commit = commit;
      if (afterMs > 0) await new Promise<void>((resolve) => void this.world.clock.after(afterMs, resolve));
      throw new GantryError('cluster-unreachable', 'the answer was lost', { retryable: true });
    };
  }
}

/** Of a host that stands on a store of its own. */
export function hostInput(world: World, name: string): Omit<JobsHostInput, 'store'> {
  return {
    ...{ keys: KEYS, project: 'shop', host: name, hostId: `id-${name}`, labels: {} },
    ...{ stateDir: join('/nonexistent', name), slots: 4, alone: true, now: () => world.clock.now() },
    ...{ engine: engineOf(world, name), secrets: NO_SECRETS, secretFiles: filesOf(world) },
    emit: (event) => world.events.push({ ...event, host: name }),
    execute: (input) => execute(world, input),
  };
}

/** As the real one promises: goes on with what is there, ends it when it is cancelled, lets go of it when left. */
async function execute(world: World, input: ExecutionInput): Promise<RunEnd | undefined> {
  const box = adopted(world, input) ?? created(world, input);
  if (box.end !== undefined) return box.end;
  const startedAt = new Date(box.startedAt).toISOString();
  input.onSteps([{ state: 'running', startedAt }]);
  const { clock } = world;
  await new Promise<void>((resolve) => {
    const stop = clock.after(Math.max(0, box.endsAt - clock.now()), resolve);
    const end = () => {
      stop();
      resolve();
    };
    for (const signal of [input.cancelled, input.left]) {
      if (signal.aborted) end();
      signal.addEventListener('abort', end, { once: true });
    }
  });
  if (input.left.aborted) return undefined;
  box.removed = true;
  box.end = ending(box, clock.now(), input.cancelled);
  return box.end;
}

function ending(box: Box, now: number, cancelled: AbortSignal): RunEnd {
  if (now >= box.endsAt) return endOf('exit', box.exitCode, box.exitCode === 0 ? '' : 'it failed');
  box.endsAt = now;
  box.why = String(cancelled.reason);
  return endOf('cancelled', 130, box.why);
}

function adopted(world: World, { run, host }: ExecutionInput): Box | undefined {
  const own = world.boxes.filter((b) => b.run === run.id && b.attempt === run.attempt && b.host === host);
  return own.find((box) => !box.removed || box.end !== undefined);
}

function created(world: World, { run, host }: ExecutionInput): Box {
  const { takesMs, exitCode = 0 } = world.script(run);
  const startedAt = world.clock.now();
  const box = { run: run.id, attempt: run.attempt, host, startedAt, endsAt: startedAt + takesMs, exitCode };
  const whole: Box = { ...box, why: '', removed: false };
  world.boxes.push(whole);
  return whole;
}

export function endOf(kind: RunEnd['kind'], exitCode: number, why: string): RunEnd {
  return { kind, exitCode, step: 0, why, lines: [] };
}

/** As much of an engine as a host itself asks for. */
function engineOf(world: World, host: string): JobEngine {
  const named = (box: Box) => `${box.run}/${box.attempt}`;
  const engine: Partial<JobEngine> = {
    image: async () => undefined,
    pull: async (ref) => {
      if (world.registryIsAway)
        throw new GantryError('pull-refused', 'connection refused', { retryable: true });
      if (!world.images.has(ref)) throw new GantryError('image-not-found', `The registry has no ${ref}`);
      return { id: `sha256:${ref}`, digests: [], tags: [ref] };
    },
    jobContainers: async () =>
      world.boxes
        .filter((box) => box.host === host && !box.removed)
        .map((box) => containerOf(box, named(box))),
    remove: async (id) => {
      const box = world.boxes.find((b) => b.host === host && named(b) === id);
      if (box === undefined) return;
      box.removed = true;
      box.endsAt = Math.min(box.endsAt, world.clock.now());
    },
  };
  return engine as JobEngine;
}

function containerOf({ run, attempt, host }: Box, id: string): JobContainer {
  const is = { id, name: id, project: 'shop', host: `id-${host}`, run, attempt };
  return { ...is, step: 0, running: true, state: 'running' };
}

const NO_SECRETS: Secrets = {
  values: async () => new Map(),
  auth: async () => ({}),
};

function filesOf(world: World): SecretFiles {
  return {
    place: async () => [],
    remove: async () => {},
    keepOnly: async (containers) => {
      world.secretsKept.push(containers);
    },
  };
}

/** Troubles that hosts told, but that the store was away. */
export function troubles(world: World): readonly string[] {
  return world.events.flatMap((e) =>
    e.kind === 'trouble' && e.code !== 'cluster-unreachable' ? [e.message] : [],
  );
}
