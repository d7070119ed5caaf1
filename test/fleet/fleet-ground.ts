/**
 * A fleet in one process: as many hosts as a test wants, each with an engine and a proxy in memory and a state
 * directory of its own, around one coordinator in memory. The agents are the real ones, and so is time.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProjectKeys } from '../../src/cluster/keys.ts';
import { keys as keysOf } from '../../src/cluster/keys.ts';
import type { Store } from '../../src/cluster/store.ts';
import {
  type DesiredValue,
  type ReleaseValue,
  type RolloutValue,
  readDesired,
  readRollout,
  readStatus,
  readTurn,
  type ScaleValue,
  type StatusValue,
} from '../../src/cluster/values.ts';
import type { Component } from '../../src/config/project.ts';
import type { AgentEvent } from '../../src/events.ts';
import { type HostInput, runHost } from '../../src/fleet/host.ts';
import { DEFAULT_LIMITS } from '../../src/proxy/tables/routes.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { MemoryStore } from '../cluster/memory-store.ts';
import { componentOf } from '../docker/components.ts';
import { FakeEngine, IDLE, type Program } from '../docker/fake-engine.ts';
import { type Cleanup, until } from '../ground/harness.ts';
import { FakeProxy } from './fake-proxy.ts';

export const PROJECT = 'shop';

/** What a container of an image does, by the image's name. */
export type Programs = (image: string) => Program;

export interface FleetOptions {
  readonly hosts: readonly string[];
  readonly programs?: Programs;
  /** Images the hosts have from the start; others must be put into the registry. */
  readonly images?: readonly string[];
  /** The agents take along what runs when they end. */
  readonly stopOnExit?: boolean;
}

export interface TestHost {
  readonly name: string;
  readonly stateDir: string;
  readonly engine: FakeEngine;
  readonly proxy: FakeProxy;
  readonly events: AgentEvent[];
  store: MemoryStore;
  /** Ends the agent in order; containers stay. */
  stop(): Promise<void>;
  /** Until the agent has ended by itself; throws what it ended with, once. */
  ended(): Promise<void>;
  /** `more` of what its agent is given. */
  start(more?: Partial<HostInput>): void;
  /** Releases of the containers that are routed. */
  serving(component?: string): readonly number[];
}

export class TestFleet {
  readonly cluster = new MemoryCluster();
  readonly operator: Store = new MemoryStore(this.cluster);
  readonly keys: ProjectKeys = keysOf().project(PROJECT);
  readonly hosts: readonly TestHost[];
  readonly #folder: string;

  constructor(folder: string, options: FleetOptions) {
    this.#folder = folder;
    this.hosts = options.hosts.map((name) => this.#host(name, options));
  }

  host(name: string): TestHost {
    const found = this.hosts.find((h) => h.name === name);
    if (found === undefined) throw new Error(`no host ${name}`);
    return found;
  }

  /** As `update` does: a release, desired, and its rollout, which puts an end to the scale that is given. */
  async update(number: number, over: Partial<Component> = {}, from = 0, ended?: ScaleValue): Promise<void> {
    const spec = componentOf({ image: `app:${number}`, ...over });
    const release: ReleaseValue = {
      ...{ format: 1, number, image: { name: spec.image, id: imageId(spec.image), digests: [] } },
      ...{ spec, requires: [], limits: DEFAULT_LIMITS, by: 'me@here', at: now() },
    };
    const generation = (await this.generation(spec.name)) + 1;
    await this.put(this.keys.release(spec.name, number), release);
    const rollout: RolloutValue = {
      ...{ format: 1, generation, release: number, from, kind: 'update', state: 'preparing', attempt: 1 },
      ...{ after: [], by: 'me@here', at: now(), ...(ended === undefined ? {} : { ended }) },
    };
    await this.want(spec.name, { status: 'ready', release: number, generation }, rollout);
  }

  async want(
    component: string,
    { status, release, generation }: Pick<DesiredValue, 'status' | 'release' | 'generation'>,
    rollout?: RolloutValue,
  ): Promise<void> {
    const desired: DesiredValue = { format: 1, status, release, generation, by: 'me@here', at: now() };
    const writes = [
      { kind: 'put', key: this.keys.desired(component), value: JSON.stringify(desired) } as const,
      ...(rollout === undefined
        ? []
        : [{ kind: 'put', key: this.keys.rollout(component), value: JSON.stringify(rollout) } as const]),
      ...(rollout?.ended === undefined ? [] : [{ kind: 'delete', key: this.keys.scale(component) } as const]),
    ];
    await this.operator.commit([], writes);
  }

  async put(key: string, value: object): Promise<void> {
    await this.operator.commit([], [{ kind: 'put', key, value: JSON.stringify(value) }]);
  }

  async generation(component = 'web'): Promise<number> {
    return readDesired(await this.operator.get(this.keys.desired(component)))?.generation ?? 0;
  }

  rollout(component = 'web'): RolloutValue | undefined {
    return readRollout(this.cluster.get(this.keys.rollout(component)));
  }

  desired(component = 'web'): DesiredValue | undefined {
    return readDesired(this.cluster.get(this.keys.desired(component)));
  }

  statuses(component = 'web'): readonly StatusValue[] {
    const { entries } = this.cluster.list(this.keys.statuses(component));
    return entries.map(readStatus).filter((s) => s !== undefined);
  }

  queue(component = 'web'): readonly string[] {
    const { entries } = this.cluster.list(this.keys.turns(component));
    const turns = [...entries].sort((a, b) => a.createRevision - b.createRevision);
    return turns.flatMap((e) => readTurn(e)?.host ?? []);
  }

  /** Until the component's rollout is at its end. */
  async ended(component = 'web', timeoutMs = 60_000): Promise<RolloutValue> {
    const over = () => {
      const rollout = this.rollout(component);
      return rollout !== undefined && !['preparing', 'running'].includes(rollout.state) ? rollout : undefined;
    };
    await until(() => over() !== undefined, { timeoutMs, what: `the rollout of ${component} to end` });
    const rollout = over();
    if (rollout === undefined) throw new Error('it began again');
    return rollout;
  }

  async close(): Promise<void> {
    await Promise.all(this.hosts.map((h) => h.stop()));
    await this.operator.close();
    this.cluster.shutDown();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #host(name: string, { programs = () => IDLE, images = [], stopOnExit = false }: FleetOptions): TestHost {
    const engine = new FakeEngine({ program: (spec) => programs(imageName(String(spec.body.Image))) });
    for (const image of images) engine.addImage(image, imageId(image));
    const proxy = new FakeProxy();
    const events: AgentEvent[] = [];
    const fleet = this;
    let controller = new AbortController();
    let running: Promise<void> | undefined;
    let failure: unknown;
    const host: TestHost = {
      ...{ name, stateDir: join(this.#folder, name), engine, proxy, events },
      store: new MemoryStore(this.cluster),
      start(more = {}) {
        controller = new AbortController();
        host.store = new MemoryStore(fleet.cluster);
        running = runHost(
          {
            ...{ project: PROJECT, components: undefined, host: name, address: '127.0.0.1', labels: {} },
            ...{ stateDir: host.stateDir, hostId: `id-of-${name}`, engine, store: host.store },
            ...{ prefix: '/gantryd', stopOnExit, proxy },
            emit: (event) => events.push(event),
            onRunning() {},
            ...more,
          },
          controller.signal,
        ).catch((error: unknown) => {
          failure = error;
        });
      },
      async stop() {
        controller.abort();
        await running;
        await host.store.close();
        await host.ended();
      },
      async ended() {
        await running;
        const met = failure;
        failure = undefined;
        if (met !== undefined) throw met;
      },
      serving(component = 'web') {
        const route = proxy.table(PROJECT).routes.find((r) => r.component === component);
        return (route?.backends ?? []).map((b) => releaseOf(engine, b.id));
      },
    };
    return host;
  }
}

/** The hosts tell how they are of `web`, which the config has. */
export async function presentEverywhere(fleet: TestFleet): Promise<void> {
  await fleet.put(fleet.keys.config, {
    ...{ format: 1, project: PROJECT, by: 'me@here', at: now() },
    file: { components: [{ name: 'web', repo: 'app' }] },
  });
  const all = () => fleet.statuses().length === fleet.hosts.length;
  await until(all, { timeoutMs: 5000, what: 'all hosts to be there' });
}

/** A fleet whose agents run; ended with the test. */
export async function startFleet(t: Cleanup, options: FleetOptions): Promise<TestFleet> {
  const fleet = new TestFleet(await mkdtemp(join(tmpdir(), 'fleet-')), options);
  t.after(() => fleet.close());
  for (const host of fleet.hosts) host.start();
  return fleet;
}

export function imageId(image: string): string {
  return `sha256:${Buffer.from(image).toString('hex').padEnd(64, '0')}`;
}

function imageName(id: string): string {
  return Buffer.from(id.replace(/^sha256:/, '').replace(/(00)+$/, ''), 'hex').toString();
}

function releaseOf(engine: FakeEngine, id: string): number {
  return engine.releaseOf(id);
}

function now(): string {
  return new Date().toISOString();
}
