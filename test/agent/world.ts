/**
 * A small simulation of everything a plan acts upon: an engine, a proxy, clients, the operator's record
 * and an agent that may forget. Time passes only by tick(); chance comes from a seeded generator. The
 * effects of actions are written here on their own, not taken from forecast.ts, so that the two can differ.
 */
import type { Action } from '../../src/agent/plan/plan.ts';
import type {
  CanaryProgress,
  ContainerId,
  Desired,
  Observed,
  ObservedContainer,
  Release,
} from '../../src/agent/plan/state.ts';
import { sizedHere, UNSCALED } from '../../src/agent/scale.ts';
import type { CanarySplit, Listener } from '../../src/proxy/tables/routes.ts';
import { PORT_80, PORT_81, proven, release } from './builders.ts';

/** Answers [0, 1); the same seed, the same answers (mulberry32). */
export type Random = () => number;

export function seeded(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface SimContainer {
  readonly id: ContainerId;
  readonly release: number;
  readonly ours: boolean;
  state: ObservedContainer['state'];
  /** Whether its checks would pass if they were asked. */
  fit: boolean;
  /** From when on it can be ready. */
  readyAt: number;
  connections: number;
  /** When a stop under way will have ended it. */
  stopsAt: number | undefined;
  startedAt: number | undefined;
  servedAt: number | undefined;
  unroutedAt: number | undefined;
  drainSince: number | undefined;
  signalledAt: number | undefined;
  signalsGot: number;
  everRouted: boolean;
}

/** What becomes of a release's containers: `late` never get ready, `exits` ends them soon, `errors` answer with 500. */
type Fate = 'fine' | 'late' | 'exits' | 'errors';

const READY_TIMEOUT_MS = 10_000;
const BACKOFF_MS = 2000;
const MAX_CONNECTIONS = 5;
/** How long a host of a fleet keeps what it switched from. */
const KEEP_OLD_MS = 20_000;
const CANARY = { percent: 30, durationMs: 4_000, maxErrorRate: 0.01 };

export class World {
  now = 1_000_000;
  readonly containers = new Map<ContainerId, SimContainer>();
  /** What the proxy does for the component. */
  routed: readonly ContainerId[] = [];
  listeners: readonly Listener[] = [];
  split: CanarySplit | undefined;
  status: Desired['status'] = 'stopped';
  current = 0;
  releases: Release[] = [];
  /** Whether others decide with this host: it waits for its turn, is sent back, and keeps what it switched from. */
  fleet = false;
  /** It is this host's turn. */
  turn = true;
  /** Raised by everything that happens without the agent; lowered by observe(). */
  disturbed = false;
  readonly trace: string[] = [];
  readonly #random: Random;
  readonly #fates = new Map<number, Fate>();
  #imagePresent = true;
  #made = 0;
  /** Asked for in place of what the releases say. */
  #scaled: number | undefined;
  /** The most containers of a release that were ever to be. */
  most = 4;
  #before: number | undefined;
  #canary: CanaryProgress | undefined;
  /** Requests that the canary has had. */
  #asked = 0;
  // What only the running agent knows.
  #probed = new Set<ContainerId>();
  #busy = new Set<ContainerId>();
  #failed = new Set<ContainerId>();
  #startAfter = 0;

  constructor(random: Random) {
    this.#random = random;
    for (const id of ['foreign-1', 'foreign-2']) this.#put({ id, release: 1, ours: false, state: 'running' });
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  get live(): readonly SimContainer[] {
    return this.all.filter((c) => c.state === 'running');
  }

  get all(): readonly SimContainer[] {
    return [...this.containers.values()].filter((c) => c.ours);
  }

  get foreign(): readonly SimContainer[] {
    return [...this.containers.values()].filter((c) => !c.ours);
  }

  desired(): Desired {
    const { release, previous } = sizedHere(
      this.#scaled === undefined ? {} : { scale: { ...UNSCALED, instances: this.#scaled } },
      this.releases.find((r) => r.number === this.current),
      this.#previous(),
    );
    return {
      project: 'shop',
      component: 'web',
      status: this.status,
      release,
      previous,
      keepOldMs: this.fleet ? KEEP_OLD_MS : 0,
      canary: this.#canary,
    };
  }

  observe(): Observed {
    this.disturbed = false;
    const containers = this.all.map((c) => this.#seen(c));
    this.#noteFailures(containers);
    return {
      now: this.now,
      imagePresent: this.#imagePresent,
      containers,
      listeners: this.listeners,
      split: this.split,
      answers: this.#answers(),
      startAfter: this.#startAfter,
      failures: this.#failed.size,
      heals: true,
      mayAdvance: this.turn,
    };
  }

  /** Carries out an action; `half`: the agent dies after its first step. Idempotent as the real executors. */
  execute(action: Action, half = false): void {
    switch (action.kind) {
      case 'pull-image':
        this.#imagePresent = true;
        break;
      case 'create-container':
        this.#create(action.release, half);
        break;
      case 'start-container':
        this.#start(this.#get(action.container));
        break;
      case 'route':
        this.#route(action, half);
        break;
      case 'promote-release':
        this.#canary = { since: this.#canary?.since ?? this.now, promoted: true };
        break;
      case 'prove-release':
        this.#canary = undefined;
        // Settled on without a container, it would be healed for ever if it could not serve.
        if (this.instancesOf(action.release) === 0) this.#fates.set(action.release, 'fine');
        this.releases = this.releases.map((r) => (r.number === action.release ? { ...r, proven: true } : r));
        break;
      case 'fail-release':
        this.#fail(action.release);
        break;
      case 'drain':
        this.#get(action.container).drainSince ??= this.now;
        break;
      case 'send-signals':
        this.#signal(this.#get(action.container), half);
        break;
      case 'stop-container':
        this.#stop(this.#get(action.container));
        break;
      case 'kill-container':
        this.#end(this.#get(action.container));
        break;
      case 'remove-failed':
        this.containers.delete(action.container);
        break;
      case 'remove-container':
        this.containers.delete(action.container);
        break;
      case 'wait':
        break;
    }
  }

  /** Time passes: stops end, checks answer, clients come and go. */
  tick(ms: number): void {
    this.now += ms;
    for (const c of this.live) {
      if (c.stopsAt !== undefined && c.stopsAt <= this.now) this.#end(c);
      else if (this.chance(0.8)) this.#probed.add(c.id);
      if (this.#fates.get(c.release) === 'exits' && c.readyAt <= this.now) this.#end(c);
      this.#clients(c);
    }
    if (this.split !== undefined) this.#asked += 10;
    for (const id of this.#busy) if (this.containers.get(id)?.state !== 'running') this.#busy.delete(id);
  }

  /** One thing that nobody planned. */
  fault(): void {
    this.disturbed = true;
    const victim = this.#any(this.live);
    const roll = this.#random();
    if (victim !== undefined && roll < 0.35) {
      this.trace.push(`! ${victim.id} dies`);
      this.#end(victim);
    } else if (victim !== undefined && roll < 0.6) {
      victim.fit = !victim.fit;
      this.trace.push(`! ${victim.id} turns ${victim.fit ? 'good' : 'bad'}`);
    } else if (roll < 0.7) {
      this.trace.push('! the proxy loses its table');
      this.#loseTable();
    } else if (roll < 0.8) {
      this.trace.push('! the image is removed');
      this.#imagePresent = false;
    } else {
      this.crash();
    }
  }

  /** The agent dies and starts again: what it did not write down is forgotten. */
  crash(): void {
    this.disturbed = true;
    this.trace.push('! the agent crashes');
    this.#probed = new Set();
    this.#busy = new Set();
    this.#failed = new Set();
    this.#startAfter = 0;
  }

  /** The operator asks for something else. */
  command(): void {
    const roll = this.#random();
    if (this.fleet && this.chance(0.4)) this.#sendBack();
    else if (roll < 0.7) this.update();
    else this.#unwant(roll < 0.9 ? 'stopped' : 'killed');
  }

  update(fate: Fate = this.#fate()): void {
    this.disturbed = true;
    const number = (this.releases.at(-1)?.number ?? 0) + 1;
    const made = release(number, {
      instances: 1 + Math.floor(this.#random() * 4),
      listeners: this.chance(0.5) ? [PORT_80] : [PORT_80, PORT_81],
    });
    const bound = this.chance(0.3) ? { drainTimeoutMs: 20_000 } : {};
    const tried = this.chance(0.5) ? { update: { ...made.component.update, canary: CANARY } } : {};
    if (this.chance(0.3)) this.#scaled = undefined;
    this.releases.push({ ...made, component: { ...made.component, ...bound, ...tried } });
    this.#fates.set(number, fate);
    this.#want(number);
    this.trace.push(`> update to ${number} (${made.component.instances} instances, ${fate})`);
  }

  /** The operator asks for more or fewer of the same, or for none. */
  scale(): void {
    this.disturbed = true;
    this.#scaled = Math.floor(this.#random() * 7);
    this.most = Math.max(this.most, this.#scaled);
    this.trace.push(`> scale to ${this.#scaled}`);
  }

  /** How many there are to be of a release. */
  instancesOf(release: number): number {
    return this.#scaled ?? this.releases.find((r) => r.number === release)?.component.instances ?? 0;
  }

  /** The host's turn begins or ends. */
  passTurn(): void {
    this.disturbed = true;
    this.turn = !this.turn;
    this.trace.push(`> the turn ${this.turn ? 'begins' : 'ends'}`);
  }

  /** From now on everything that runs answers its checks, unless its release cannot, and it is this host's turn. */
  calm(): void {
    this.turn = true;
    for (const c of this.all) c.fit = true;
    this.trace.push('~ calm');
  }

  drainTimedOut(c: SimContainer): boolean {
    const deadline = this.#deadline(c);
    return deadline !== undefined && deadline <= this.now;
  }

  #unwant(status: 'stopped' | 'killed'): void {
    this.disturbed = true;
    this.status = status;
    this.trace.push(`> ${status}`);
  }

  #fate(): Fate {
    if (this.chance(0.7)) return 'fine';
    return (['late', 'exits', 'errors'] as const)[Math.floor(this.#random() * 3)] ?? 'late';
  }

  #want(number: number): void {
    const wanted = this.releases.find((r) => r.number === this.current);
    const base = wanted?.proven === true ? wanted.number : this.#previous()?.number;
    if (number !== this.current) this.#canary = undefined;
    if (number !== this.current) this.#before = base === number ? undefined : base;
    this.status = 'ready';
    this.current = number;
  }

  /** The fleet goes back to what has served before, or gives up what has not, though nothing failed here. */
  #sendBack(): void {
    this.disturbed = true;
    const wanted = this.releases.find((r) => r.number === this.current);
    if (wanted?.proven === false && this.status === 'ready') {
      this.trace.push(`> release ${this.current} is taken back`);
      this.#fail(this.current);
      return;
    }
    const back = this.#any(this.releases.filter((r) => r.proven));
    if (back === undefined) return;
    this.#want(back.number);
    this.trace.push(`> back to release ${back.number}`);
  }

  #previous(): Release | undefined {
    if (this.#before !== undefined) return this.releases.find((r) => r.number === this.#before);
    return this.releases.filter((r) => r.proven && r.number < this.current).at(-1);
  }

  #seen(c: SimContainer): ObservedContainer {
    const isRouted = this.routed.includes(c.id);
    const served = isRouted || c.servedAt !== undefined;
    const probed = c.state === 'running' && this.#probed.has(c.id);
    const readyBy = (c.startedAt ?? this.now) + READY_TIMEOUT_MS;
    const isReady = served || (probed && c.fit && c.readyAt <= this.now);
    const isLate = c.state === 'running' && probed && readyBy <= this.now;
    return {
      id: c.id,
      name: c.id,
      release: c.release,
      state: c.state,
      readiness: isReady ? 'ready' : isLate ? 'late' : 'pending',
      healthPolicy: 'replace',
      health: !probed || !served ? 'unknown' : c.fit ? 'healthy' : 'unhealthy',
      saw: 'what it saw',
      readyBy,
      routed: isRouted,
      served,
      warmUntil: isRouted ? undefined : this.#warmUntil(c),
      connections: c.connections,
      drain: this.#drain(c),
      busy: this.#busy.has(c.id),
    };
  }

  #warmUntil(c: SimContainer): number | undefined {
    if (c.unroutedAt === undefined || c.drainSince !== undefined) return undefined;
    return c.release === this.#previous()?.number ? c.unroutedAt + KEEP_OLD_MS : undefined;
  }

  #drain(c: SimContainer): ObservedContainer['drain'] {
    if (c.drainSince === undefined) return undefined;
    return {
      since: c.drainSince,
      signalled: c.signalledAt !== undefined,
      mayStop: c.connections === 0,
      heldBy: `${c.connections} connections`,
      connections: c.connections,
      deadline: this.#deadline(c),
    };
  }

  #deadline(c: SimContainer): number | undefined {
    const timeoutMs = this.releases.find((r) => r.number === c.release)?.component.drainTimeoutMs;
    return timeoutMs === undefined || c.drainSince === undefined ? undefined : c.drainSince + timeoutMs;
  }

  #create(number: number, half: boolean): void {
    this.#made += 1;
    const c = this.#put({ id: `c${this.#made}`, release: number, ours: true, state: 'created' });
    if (!half) this.#start(c);
  }

  #start(c: SimContainer): void {
    if (c.state !== 'created') return;
    c.state = 'running';
    c.startedAt = this.now;
    const fate = this.#fates.get(c.release) ?? 'fine';
    c.readyAt = fate === 'late' ? Number.POSITIVE_INFINITY : this.now + Math.floor(this.#random() * 3000);
  }

  /** The table is swapped first, then the record says who has served. */
  #route({ containers: ids, listeners, canary }: Extract<Action, { kind: 'route' }>, half: boolean): void {
    const off = this.routed.filter((id) => !ids.includes(id));
    this.routed = ids;
    this.listeners = listeners;
    if (canary?.id !== this.split?.id) this.#asked = 0;
    this.split = canary;
    for (const id of ids) this.#get(id).everRouted = true;
    if (half) return;
    if (canary?.id === `release ${this.current}`) this.#canary ??= { since: this.now, promoted: false };
    for (const id of ids) Object.assign(this.#get(id), { unroutedAt: undefined });
    for (const id of ids) this.#get(id).servedAt ??= this.now;
    if (this.fleet) for (const id of off) this.#get(id).unroutedAt = this.now;
  }

  #fail(number: number): void {
    if (this.current !== number) return;
    const back = this.#previous();
    this.#canary = undefined;
    if (back === undefined) this.status = 'stopped';
    else this.current = back.number;
    this.#before = undefined;
  }

  /** The record says so first, then it is sent. */
  #signal(c: SimContainer, half: boolean): void {
    c.signalledAt = this.now;
    if (!half) c.signalsGot += 1;
  }

  #stop(c: SimContainer): void {
    if (c.state !== 'running') return;
    c.stopsAt ??= this.now + Math.floor(this.#random() * 5000);
    this.#busy.add(c.id);
  }

  #end(c: SimContainer): void {
    c.state = 'exited';
    c.connections = 0;
  }

  /** A container that is seen to have failed puts off the next replacement, once. */
  #noteFailures(containers: readonly ObservedContainer[]): void {
    for (const c of containers) {
      const failed = c.state === 'exited' || c.readiness === 'late' || c.health === 'unhealthy';
      if (!failed || c.drain !== undefined || this.#failed.has(c.id)) continue;
      this.#failed.add(c.id);
      this.#startAfter = this.now + BACKOFF_MS;
    }
  }

  #loseTable(): void {
    this.routed = [];
    this.listeners = [];
    this.split = undefined;
    for (const c of this.all) c.connections = 0;
  }

  #answers(): Observed['answers'] {
    if (this.split === undefined) return undefined;
    const errors = this.#fates.get(this.current) === 'errors' ? this.#asked : 0;
    const others = { requests: this.#asked, errors: 0, latency: [] };
    return { canary: { ...others, errors }, others };
  }

  #clients(c: SimContainer): void {
    if (c.state !== 'running') return;
    while (c.connections > 0 && this.chance(0.3)) c.connections -= 1;
    const open = this.routed.includes(c.id) && c.connections < MAX_CONNECTIONS;
    if (open && this.chance(0.6)) c.connections += 1;
  }

  #any<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.#random() * from.length)];
  }

  #get(id: ContainerId): SimContainer {
    const c = this.containers.get(id);
    if (c === undefined) throw new Error(`no container ${id}`);
    return c;
  }

  #put(c: Pick<SimContainer, 'id' | 'release' | 'ours' | 'state'>): SimContainer {
    const made: SimContainer = {
      ...c,
      fit: true,
      readyAt: 0,
      connections: 0,
      stopsAt: undefined,
      startedAt: undefined,
      servedAt: undefined,
      unroutedAt: undefined,
      drainSince: undefined,
      signalledAt: undefined,
      signalsGot: 0,
      everRouted: false,
    };
    this.containers.set(c.id, made);
    return made;
  }
}

/** A world in which release 1 serves with this many containers, as after a first start. */
export function servingWorld(random: Random, instances: number): World {
  const world = new World(random);
  world.releases = [proven(1, { instances })];
  world.current = 1;
  world.status = 'ready';
  const create: Action = { kind: 'create-container', component: 'web', release: 1, why: 'first start' };
  for (let i = 0; i < instances; i++) world.execute(create);
  const containers = world.all.map((c) => c.id);
  world.tick(5000);
  const listeners = [PORT_80];
  world.execute({ kind: 'route', component: 'web', containers, release: 1, listeners, why: 'first start' });
  return world;
}
