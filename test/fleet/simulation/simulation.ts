/**
 * A fleet at random: operators who change their minds, hosts that come and go, lines that are cut, a coordinator that
 * forgets. The agents are the real ones and so is their time; only etcd's is faster, so that leases end within a
 * second. What is promised is watched throughout, and when quiet returns everything is to come to rest.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { keys } from '../../../src/cluster/keys.ts';
import {
  type DesiredValue,
  type RolloutValue,
  readDesired,
  readRollout,
  readStatus,
} from '../../../src/cluster/values.ts';
import { isGantryError } from '../../../src/errors.ts';
import { rollback, setStatus, update } from '../../../src/fleet/intents/intents.ts';
import type { Fleet } from '../../../src/fleet/intents/look.ts';
import { pauseRollout, resumeRollout } from '../../../src/fleet/intents/steer.ts';
import { setConfig } from '../../../src/fleet/intents/stored-config.ts';
import type { Dice } from '../../campaign/dice.ts';
import { type Change, MemoryCluster, type Snapshot } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { until } from '../../ground/harness.ts';
import { imageId, SimHost } from './host.ts';
import { COMPONENT, KEYS, KINDS, type Kind, PROJECT, programOf, projectFile } from './shop.ts';

/** Etcd's seconds pass so much faster: 15 s of a lease are one. */
const FASTER = 15;
/** How long after etcd broke its word a host may not know yet: a lease, and what is under way. */
const EXCUSE_MS = 1_800;
const CALM_MS = 25_000;
const LINES_TOLD = 160;

export interface SimulationOptions {
  readonly dice: Dice;
  readonly stormMs: number;
}

type Action = (sim: Simulation) => Promise<void> | void;

export class Simulation {
  readonly dice: Dice;
  readonly cluster = new MemoryCluster({
    now: () => performance.now() * FASTER,
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs / FASTER);
      return () => clearTimeout(timer);
    },
  });
  readonly hosts: SimHost[] = [];
  readonly story: string[] = [];
  readonly violations: string[] = [];
  readonly #began = performance.now();
  readonly #operator = new MemoryStore(this.cluster);
  readonly #fleet: Fleet = { store: this.#operator, keys: keys(), now: () => Date.now() };
  #folder = '';
  #images = 0;
  #excusedUntil = 0;
  #desired: DesiredValue | undefined;
  #snapshot: Snapshot | undefined;
  #restored = false;

  constructor({ dice }: Pick<SimulationOptions, 'dice'>) {
    this.dice = dice;
  }

  async open(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), 'fleet-'));
    this.cluster.watchers.add({ changed: (c) => this.#onChanges(c), reset: () => this.#onReset() });
    const names = ['a', 'b', 'c', 'd', 'e', 'f'].slice(0, 3 + this.dice.below(4));
    for (const name of names) this.hosts.push(this.#host(name));
    for (const host of this.hosts) if (this.dice.below(5) > 0) host.start();
    await this.update('good');
  }

  async storm(ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (performance.now() < end && this.violations.length === 0) {
      await this.#draw()(this);
      await delay(this.dice.below(250));
    }
  }

  /** Everything is in order again; then an update is to go through, and every host is to be as it says. */
  async calm(): Promise<void> {
    this.tell('quiet returns');
    for (const host of this.hosts) {
      host.engine.reachable = true;
      host.engine.reconnect();
      host.heal();
      host.start();
    }
    await this.#configureAgain();
    await this.#until('all hosts to tell how they are', () => this.#statuses().length === this.hosts.length);
    if (!this.#restored) await this.#until('the rollout to end or to be paused', () => !this.#isOpen());
    await this.update('good', { maxParallel: 1 + this.dice.below(2), onFailure: 'rollback', monitor: 50 });
    const { generation = 0, release = 0 } = this.#desired ?? {};
    await this.#until(`the last update to end`, () => this.#rollout()?.state === 'done');
    await this.#until('all hosts to be settled', () =>
      this.#statuses().every((s) => s.settled === generation),
    );
    await this.#until('the queue to be empty', () => this.#queue().length === 0);
    for (const host of this.hosts)
      await this.#until(`${host.name} to be as it is to be`, () => this.#isAsWanted(host, release));
    await this.#atRest();
  }

  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.close()));
    await this.#operator.close();
    this.cluster.shutDown();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  tell(words: string): void {
    const ms = (performance.now() - this.#began).toFixed(0).padStart(6);
    this.story.push(`${ms} ${words}`);
  }

  violated(words: string): void {
    this.tell(`VIOLATED: ${words}`);
    this.violations.push(words);
  }

  /** The end of the story, for a failure. */
  lastLines(): string {
    return this.story.slice(-LINES_TOLD).join('\n');
  }

  async update(kind: Kind, over: Partial<Parameters<typeof projectFile>[2]> = {}): Promise<void> {
    const tag = `${kind}-${++this.#images}`;
    if (kind !== 'missing')
      for (const host of this.hosts) host.engine.addImage(`app:${tag}`, imageId(`app:${tag}`));
    const { dice } = this;
    const rollout = {
      maxParallel: 1 + dice.below(2),
      onFailure: dice.of(['rollback', 'rollback', 'pause'] as const),
      monitor: dice.of([0, 30, 100, 400]),
      keepOld: dice.of([0, 200, 60_000]),
      ...over,
    };
    const instances = 1 + dice.below(2);
    await this.#ask(`update to ${tag} (${instances} instances, ${JSON.stringify(rollout)})`, async () => {
      await setConfig(this.#fleet, {
        project: PROJECT,
        file: projectFile(tag, instances, rollout),
        by: 'sim',
      });
      const resolve = async ({ image }: { image: string }) => ({
        name: image,
        id: imageId(image),
        digests: [],
      });
      await update(this.#fleet, { ...this.#asked(), resolve });
    });
  }

  rollback(): Promise<void> {
    return this.#ask('rollback', () => rollback(this.#fleet, this.#asked()));
  }

  stop(status: 'stopped' | 'killed'): Promise<void> {
    return this.#ask(status === 'killed' ? 'kill' : 'stop', () =>
      setStatus(this.#fleet, { ...this.#asked(), status }),
    );
  }

  steer(how: 'pause' | 'resume'): Promise<void> {
    const steer = how === 'pause' ? pauseRollout : resumeRollout;
    return this.#ask(how, () => steer(this.#fleet, { project: PROJECT, component: COMPONENT, by: 'sim' }));
  }

  expireLeases(host: SimHost): void {
    this.#excuse();
    host.expireLeases();
  }

  takeSnapshot(): void {
    this.#snapshot = this.cluster.snapshot();
  }

  restore(): void {
    if (this.#snapshot === undefined) return;
    this.#restored = true;
    this.#excuse();
    this.cluster.restore(this.#snapshot);
    this.#snapshot = undefined;
  }

  wipe(): void {
    this.#restored = true;
    this.#excuse();
    this.cluster.wipe();
  }

  /** An etcd that was wiped has no config: hosts that never had the component know nothing of it. */
  async #configureAgain(): Promise<void> {
    if (this.cluster.get(KEYS.config) !== undefined) return;
    const update = { maxParallel: 1, onFailure: 'rollback', monitor: 0, keepOld: 0 } as const;
    const file = projectFile('good-0', 1, update);
    await setConfig(this.#fleet, { project: PROJECT, file, by: 'sim' });
  }

  #asked() {
    return { project: PROJECT, components: [COMPONENT], by: 'sim@here' };
  }

  /** A command that is refused is one. */
  async #ask(what: string, command: () => Promise<unknown>): Promise<void> {
    this.tell(`operator: ${what}`);
    try {
      await command();
    } catch (error) {
      if (!isGantryError(error) || error.code === 'internal') return this.violated(`${what}: ${error}`);
      this.tell(`operator: refused: ${error.code} ${error.message}`);
    }
  }

  #draw(): Action {
    const weights = ACTIONS.flatMap(([weight, action]) => Array.from({ length: weight }, () => action));
    return this.dice.of(weights);
  }

  #host(name: string): SimHost {
    return new SimHost({
      ...{ name, folder: this.#folder, cluster: this.cluster, program: programOf },
      tell: (words) => this.tell(words),
      violated: (words) => this.violated(words),
      isExcused: () => performance.now() < this.#excusedUntil,
    });
  }

  #excuse(): void {
    this.#excusedUntil = performance.now() + EXCUSE_MS;
  }

  #onReset(): void {
    this.#desired = readDesired(this.cluster.get(KEYS.desired(COMPONENT)));
    this.tell(`etcd is another one: change ${this.#desired?.generation ?? 'none'}`);
  }

  /** Promise (c): what operators ask is never overwritten by less than a newer change, or the failure of that very release. */
  #onChanges(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'put' && change.entry.key === KEYS.desired(COMPONENT))
        this.#onDesired(change.entry.value);
      if (change.kind === 'put' && change.entry.key === KEYS.rollout(COMPONENT))
        this.#onRollout(change.entry.value);
    }
  }

  #onDesired(value: string): void {
    const was = this.#desired;
    const is = readDesired({ value });
    this.#desired = is;
    this.tell(`wanted: change ${is?.generation}, ${is?.status} release ${is?.release}, by ${is?.by}`);
    if (was === undefined || is === undefined) return;
    if (is.generation <= was.generation)
      this.violated(`change ${is.generation} came after ${was.generation}`);
    if (is.by === 'sim@here') return;
    if (was.status !== 'ready' || is.by !== `rollout of release ${was.release}`)
      this.violated(`${is.by} overwrote change ${was.generation} by ${was.by}: ${was.status} ${was.release}`);
  }

  #onRollout(value: string): void {
    const is = readRollout({ value });
    if (is === undefined) return;
    const { generation, kind, state, attempt, release, reason = '' } = is;
    this.tell(`rollout: change ${generation}, ${kind} ${release} ${state}, attempt ${attempt} ${reason}`);
  }

  #rollout(): RolloutValue | undefined {
    return readRollout(this.cluster.get(KEYS.rollout(COMPONENT)));
  }

  #isOpen(): boolean {
    return ['preparing', 'running'].includes(this.#rollout()?.state ?? '');
  }

  #statuses() {
    const { entries } = this.cluster.list(KEYS.statuses(COMPONENT));
    return entries.flatMap((e) => readStatus(e) ?? []);
  }

  #queue() {
    return this.cluster.list(KEYS.turns(COMPONENT)).entries;
  }

  /** Promise (d). Throws why not. */
  async #isAsWanted(host: SimHost, release: number): Promise<boolean> {
    const record = host.record();
    if (record?.status !== 'ready' || record.release !== release)
      throw new Error(`record: ${JSON.stringify(record?.fleet)}`);
    const instances = record.releases.find((r) => r.number === release)?.component.instances ?? 0;
    const routed = host.routed();
    if (routed.length !== instances) throw new Error(`${routed.length} of ${instances} are routed`);
    const all = await host.engine.containers({});
    const wrong = routed.filter((id) => !host.engine.runs(id) || host.engine.releaseOf(id) !== release);
    if (wrong.length > 0) throw new Error(`wrong ones are routed: ${wrong}`);
    const others = all.filter((c) => !routed.includes(c.id));
    if (others.some((c) => c.state !== 'running')) throw new Error(`left: ${JSON.stringify(others)}`);
    if (new Set(others.map((c) => c.release)).size > 1)
      throw new Error(`warm: ${others.map((c) => c.release)}`);
    return true;
  }

  /** Nobody writes any more. */
  async #atRest(): Promise<void> {
    const before = this.cluster.revision;
    await delay(600);
    // Something may have been on its way, as a warm container that goes.
    if (this.cluster.revision - before > this.hosts.length)
      this.violated(`at rest ${this.cluster.revision - before} writes were made in 600 ms`);
  }

  async #until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
    await until(() => this.violations.length > 0 || check(), { timeoutMs: CALM_MS, what });
    if (this.violations.length > 0) throw new Error(this.violations[0]);
  }
}

const someHost = ({ hosts, dice }: Simulation) => dice.of(hosts);

/** How often each is drawn. */
const ACTIONS: readonly (readonly [number, Action])[] = [
  [6, (s) => s.update('good')],
  [8, (s) => s.update(s.dice.of(KINDS))],
  [3, (s) => s.rollback()],
  [1, (s) => s.stop('stopped')],
  [1, (s) => s.stop('killed')],
  [2, (s) => s.steer('pause')],
  [5, (s) => s.steer('resume')],
  [4, (s) => told(s, someHost(s), 'starts', (h) => h.start())],
  [2, (s) => told(s, someHost(s), 'ends in order', (h) => h.end())],
  [4, (s) => told(s, someHost(s), 'is killed', (h) => h.kill())],
  [
    3,
    (s) =>
      told(s, someHost(s), 'is killed and starts again', (h) => {
        h.kill();
        h.start();
      }),
  ],
  [3, (s) => told(s, someHost(s), 'is cut off', (h) => h.cut())],
  [6, (s) => told(s, someHost(s), 'is reached again', (h) => h.heal())],
  [2, (s) => told(s, someHost(s), 'loses answers', (h) => h.loseAnswers(s.dice.below(300)))],
  [2, (s) => told(s, someHost(s), 'loses its lease', (h) => s.expireLeases(h))],
  [4, (s) => told(s, someHost(s), 'loses a container', (h) => killOne(s, h))],
  [
    2,
    (s) =>
      told(s, someHost(s), 'has no engine', (h) => {
        h.engine.reachable = false;
      }),
  ],
  [4, (s) => told(s, someHost(s), 'has its engine', (h) => h.engine.reconnect())],
  [1, (s) => s.takeSnapshot()],
  [1, (s) => s.restore()],
  [1, (s) => (s.dice.below(3) === 0 ? s.wipe() : undefined)],
];

function told(
  sim: Simulation,
  host: SimHost,
  what: string,
  act: (host: SimHost) => Promise<void> | void,
): Promise<void> | void {
  sim.tell(`${host.name} ${what}`);
  return act(host);
}

function killOne({ dice }: Simulation, host: SimHost): void {
  const ids = host.routed();
  if (ids.length > 0) host.engine.die(dice.of(ids), { exitCode: 137 });
}

/** One world. Throws with the whole story when a promise was broken or quiet did not come back. */
export async function simulate(seed: number, options: SimulationOptions): Promise<void> {
  const sim = new Simulation(options);
  try {
    await sim.open();
    await sim.storm(options.stormMs);
    await sim.calm();
  } catch (error) {
    sim.violated((error as Error).message);
  } finally {
    await sim.close();
  }
  const first = sim.violations[0];
  if (first === undefined) return;
  throw new Error(`GANTRYD_SEED=${seed}: ${first}\n${sim.lastLines()}`);
}
