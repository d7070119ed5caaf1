/** A fleet of a few hosts: agents that follow etcd, operators who change their minds, lines that are cut. */
import { sizedHere } from '../../src/agent/scale.ts';
import { readRollout, readTurn } from '../../src/cluster/values.ts';
import type { Dice } from '../campaign/dice.ts';
import { begin as beginClients } from './clients.ts';
import type { Fate } from './engine.ts';
import { SimEtcd } from './etcd.ts';
import { containerDies, fault, heal } from './faults.ts';
import { FleetAgent, KEYS } from './fleet-agent.ts';
import type { Setting } from './history.ts';
import { Operators } from './operators.ts';
import { atRest } from './rest.ts';
import type { Life } from './schedule.ts';
import { TTL_MS } from './session.ts';
import { someComponent, someImage } from './shop.ts';
import { SimHost, type World } from './world.ts';

const NAME = 'web';
const FATES: readonly (Fate | 'missing')[] = [
  'good',
  'good',
  'good',
  'good',
  'late',
  'exits',
  'crashes',
  'missing',
];
/** A host that has to heal has this long while etcd is away: a backoff at its longest, and a start. */
const HEALED_MS = 100_000;

type Stage = 'healing' | 'ending' | 'updating';

export class Fleet implements Setting {
  readonly #world: World;
  readonly #dice: Dice;
  readonly #etcd: SimEtcd;
  readonly #desk: SimHost;
  readonly #hosts: SimHost[] = [];
  readonly #agents = new Map<string, FleetAgent>();
  readonly #operators: Operators;
  #images = 0;
  #stage: Stage = 'healing';
  #stageAt = 0;

  constructor(world: World) {
    this.#world = world;
    this.#dice = world.dice;
    this.#etcd = new SimEtcd(world);
    this.#desk = new SimHost('desk', world);
    this.#operators = new Operators(this.#desk, this.#etcd, NAME);
    for (const name of ['a', 'b', 'c'].slice(0, 2 + this.#dice.below(2))) this.#hosts.push(this.#host(name));
    world.promises.onAdvance = (host, component, record, releases, what) => {
      for (const release of releases) this.#holdToTurn(host, component, record, release, what);
    };
    this.#update('good');
    if (this.#dice.below(3) > 0) this.#untilDone();
  }

  stir(): void {
    const host = this.#dice.of(this.#hosts);
    const roll = this.#dice.below(100);
    if (roll < 40) fault(host);
    else if (roll < 48) this.#cut(host);
    else if (roll < 52) this.#etcdGoes();
    else if (roll < 60) this.#operators.scale(1 + this.#dice.below(4));
    else if (roll < 75) this.#update(this.#dice.of(FATES));
    else if (roll < 82) this.#operators.rollback();
    else if (roll < 86) this.#operators.end(roll < 85 ? 'stopped' : 'killed');
    else this.#operators.steer(roll < 89 ? 'pause' : 'resume');
  }

  /** Faults are over, but etcd stays away for a while longer: what died is to come back all the same. */
  settle(): void {
    const { schedule } = this.#world;
    this.#stageAt = schedule.now;
    this.#away();
    for (const host of this.#hosts) {
      heal(host);
      if (this.#dice.below(2) === 0) containerDies(host);
    }
  }

  unrest(): string | undefined {
    if (this.#stage === 'healing') return this.#healing();
    if (this.#stage === 'ending') return this.#ending();
    return this.#updating();
  }

  close(): void {
    if (this.#operators.queue().length > 0)
      this.#world.violated(`left in the queue: ${this.#operators.queue()}`);
    for (const host of this.#hosts) {
      if (host.engine.foreign.size !== 1) this.#world.violated('something foreign is gone');
    }
  }

  #healing(): string | undefined {
    const { now } = this.#world;
    const why = this.#hosts.map((host) => this.#isHealed(host)).find((w) => w !== undefined);
    if (why !== undefined && now - this.#stageAt > HEALED_MS)
      this.#world.violated(`etcd is away, and ${why}`);
    if (why !== undefined || now - this.#stageAt < 1.2 * TTL_MS) return why ?? 'etcd is away';
    this.#stage = 'ending';
    this.#world.tell('etcd comes back for good');
    this.#back();
    return 'etcd comes back';
  }

  /** By itself: whatever serves there, all of it does. */
  #isHealed(host: SimHost): string | undefined {
    const { record } = host.kept(NAME);
    const release = record.releases.find((r) => r.number === record.release);
    if (record.status !== 'ready' || release?.proven !== true) {
      return release?.proven === false && record.before !== undefined
        ? `release ${release.number} is kept on ${host.name} without a turn`
        : undefined;
    }
    const routed = (host.proxy.route(NAME)?.backends ?? []).flatMap(
      (b) => host.engine.containers.get(b.id) ?? [],
    );
    const well = routed.filter((c) => c.state === 'running' && c.release === release.number);
    const { release: sized = release } = sizedHere(record, release, undefined);
    const { instances } = sized.component;
    if (well.length === instances) return undefined;
    return `${well.length} of ${instances} serve on ${host.name}`;
  }

  /** The rollout comes to an end, or is paused, which waits for an operator. */
  #ending(): string | undefined {
    const { value } = this.#operators.look().rollout;
    if (value !== undefined && ['preparing', 'running'].includes(value.state)) {
      return `the rollout of release ${value.release} is ${value.state}`;
    }
    this.#stage = 'updating';
    this.#update('good');
    return 'the last update';
  }

  #updating(): string | undefined {
    if (this.#operators.task?.done !== true) return 'the operator asks';
    const { desired, rollout, statuses } = this.#operators.look();
    if (rollout.value?.state !== 'done')
      return `the rollout of release ${rollout.value?.release} is ${rollout.value?.state}`;
    const unsettled = statuses.find((s) => s.settled !== desired.value?.generation);
    if (statuses.length < this.#hosts.length || unsettled !== undefined)
      return `${unsettled?.host} is not settled`;
    if (this.#operators.queue().length > 0) return `the queue is ${this.#operators.queue()}`;
    for (const host of this.#hosts) {
      const { record } = host.kept(NAME);
      if (record.release !== desired.value?.release) return `${host.name} wants release ${record.release}`;
      const why = atRest(host, NAME, 'ready');
      if (why !== undefined) return why;
    }
    return undefined;
  }

  #host(name: string): SimHost {
    const host = new SimHost(name, this.#world);
    this.#world.hosts.push(host);
    host.onCrash = (life) => this.#onCrash(host, life);
    beginClients(host);
    this.#begin(host);
    return host;
  }

  #begin(host: SimHost): void {
    this.#world.tell(`${host.name} agent: begins`);
    this.#agents.set(host.name, new FleetAgent(host, this.#etcd, NAME));
  }

  #onCrash(host: SimHost, life: Life): void {
    const agent = this.#agents.get(host.name);
    if (agent?.life !== life) return;
    agent.forget();
    this.#world.schedule.after(this.#dice.of([100, 1_000, 20_000]), () => this.#begin(host));
  }

  #update(fate: Fate | 'missing'): void {
    const component = someComponent(this.#dice, NAME, 80);
    const image = someImage(this.#dice, `image ${++this.#images}`, fate === 'missing' ? 'good' : fate);
    for (const host of this.#hosts) if (fate !== 'missing') host.engine.registry.set(image.id, image);
    this.#operators.update(component, image);
  }

  #cut(host: SimHost): void {
    if (!host.etcdReachable) return;
    const ms = this.#dice.of([500, 5_000, 25_000]);
    this.#world.tell(`! ${host.name} is cut off from etcd for ${ms} ms`);
    this.#line(host, false);
    this.#world.schedule.after(ms, () => this.#etcd.up && this.#line(host, true));
  }

  #etcdGoes(): void {
    if (!this.#etcd.up) return;
    const ms = this.#dice.of([500, 5_000, 25_000]);
    this.#away();
    this.#world.schedule.after(ms, () => {
      if (!this.#world.calm) this.#back();
    });
  }

  #away(): void {
    this.#world.tell('! etcd is away');
    this.#etcd.up = false;
    for (const host of [...this.#hosts, this.#desk]) this.#line(host, false);
  }

  #back(): void {
    this.#world.tell('! etcd is back');
    this.#etcd.comeBack(TTL_MS);
    for (const host of [...this.#hosts, this.#desk]) this.#line(host, true);
  }

  #line(host: SimHost, there: boolean): void {
    if (host.etcdReachable === there) return;
    host.etcdReachable = there;
    this.#agents.get(host.name)?.lineChanged();
  }

  /** INVARIANT: an unproven release goes on, where another one serves, only in this host's turn. */
  #holdToTurn(
    host: SimHost,
    component: string,
    record: ReturnType<SimHost['kept']>['record'],
    release: number,
    what: string,
  ): void {
    const known = record.releases.find((r) => r.number === release);
    // After a stop was asked for nothing is at stake, be it that the old one still serves for a moment.
    if (known === undefined || known.proven || record.startedFresh === true) return;
    const good = record.releases.filter((r) => r.proven && r.number !== release).map((r) => r.number);
    const routed = host.proxy.route(component)?.backends ?? [];
    const isAtStake = routed.some((b) => {
      const c = host.engine.containers.get(b.id);
      return c?.state === 'running' && good.includes(c.release);
    });
    if (!isAtStake) return;
    const turns = [...this.#etcd.list(KEYS.turns(component))].sort(
      (a, b) => a.createRevision - b.createRevision,
    );
    const place = turns.findIndex((e) => readTurn(e)?.host === host.name);
    const turn = readTurn(turns[place]);
    // Where nothing served when it was adopted nobody waits for his turn, also if the old one comes back meanwhile.
    const isFree = this.#world.promises.adoptedFreely.has(`${host.name} ${record.fleet?.generation}`);
    const lives = turn !== undefined && this.#etcd.leases.has(turn.lease);
    if (
      lives &&
      (place < known.component.update.maxParallel || isFree) &&
      turn.generation === record.fleet?.generation
    )
      return;
    const queue = turns.map((e) => e.key.split('/').at(-1)).join(', ');
    this.#world.violated(
      `host ${host.name} ${what} release ${release}, unproven, out of turn (queue: ${queue})`,
    );
  }

  #untilDone(): void {
    const { schedule } = this.#world;
    const end = schedule.now + 60_000;
    const isDone = () => readRollout(this.#etcd.get(KEYS.rollout(NAME)))?.state === 'done';
    while (!isDone() && schedule.now < end && schedule.step());
  }
}
