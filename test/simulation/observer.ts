/**
 * Mirrors src/agent/observe.ts: the Observer, and of its monitors only what they come to. Where that file asks engine
 * and proxy at once, they are asked here one after the other, in either order.
 */

import { type Doing, hasFailed, isEnding } from '../../src/agent/plan/standing.ts';
import {
  type ContainerId,
  type Desired,
  type Drain,
  NOT_ASKED,
  type Observed,
  type ObservedContainer,
  type Readiness,
  type Release,
} from '../../src/agent/plan/state.ts';
import type { ComponentRecord, Mark } from '../../src/agent/record.ts';
import type { Check } from '../../src/checks/check.ts';
import type { Route } from '../../src/proxy/tables/routes.ts';
import type { SimContainer } from './engine.ts';
import type { Life, Proc } from './schedule.ts';
import type { SimHost } from './world.ts';

/** A container as the engine's list told of it. */
export type Listed = Pick<SimContainer, 'id' | 'release' | 'state' | 'address'>;

export interface ObserverInput {
  readonly host: SimHost;
  readonly life: Life;
  readonly component: string;
  readonly heal: boolean;
  readonly poke: () => void;
}

interface Watched {
  readonly purpose: 'ready' | 'health' | 'termination';
  readonly address: string;
  health: 'unknown' | 'healthy' | 'unhealthy';
  asked: boolean;
  /** What a flip of its health will come to is on its way. */
  due: boolean;
}

export interface ObserverMemory {
  readonly doing: Doing;
  readonly startAfter: number;
  readonly failures: number;
  readonly mayAdvance: () => boolean;
}

export class SimObserver {
  readonly #input: ObserverInput;
  readonly #watched = new Map<ContainerId, Watched>();
  #addresses = new Map<ContainerId, string>();
  /** Revision of the table as last seen, as the product's port knows it. */
  seenRevision: number | undefined;

  constructor(input: ObserverInput) {
    this.#input = input;
    input.host.observers.add(this);
  }

  *observe(desired: Desired, record: ComponentRecord, memory: ObserverMemory): Proc<Observed> {
    const { host } = this.#input;
    const first = host.world.dice.below(2) === 0;
    let listed = first ? yield* this.#list() : [];
    const { route, counts } = yield* this.#status();
    if (!first) listed = yield* this.#list();
    const at = host.now();
    this.#addresses = new Map(listed.flatMap((c) => (c.address === undefined ? [] : [[c.id, c.address]])));
    const reached = route?.backends.filter((b) => (this.#addresses.get(b.id) ?? b.host) === b.host);
    const routed = new Set(reached?.map((b) => b.id));
    this.#watch(listed, record, routed);
    const observed = listed.map((c) =>
      this.#container(c, record, {
        ...{ desired, routed: routed.has(c.id), open: counts.get(c.id) ?? 0, at, doing: memory.doing },
      }),
    );
    return {
      now: at,
      imagePresent: yield* this.#imagePresent(desired, observed),
      containers: observed,
      listeners: route?.listeners ?? [],
      startAfter: memory.startAfter,
      failures: memory.failures,
      heals: this.#input.heal,
      mayAdvance: memory.mayAdvance(),
    };
  }

  addressOf(id: ContainerId): string | undefined {
    return this.#addresses.get(id);
  }

  forget(id: ContainerId): void {
    this.#watched.delete(id);
  }

  close(): void {
    this.#watched.clear();
    this.#input.host.observers.delete(this);
  }

  /** Whether a container is well has changed: its health check finds out in its own time. */
  flipped(id: ContainerId): void {
    const watched = this.#watched.get(id);
    if (watched?.purpose === 'health') this.#askHealth(id, watched);
  }

  #list(): Proc<readonly Listed[]> {
    const { host, life, component } = this.#input;
    const copy = ({ id, release, state, address }: SimContainer) => ({ id, release, state, address });
    return host.world.effect(life, host, { on: 'engine', run: () => host.engine.list(component).map(copy) });
  }

  #status(): Proc<{ route: Route | undefined; counts: ReadonlyMap<ContainerId, number> }> {
    const { host, life, component } = this.#input;
    const look = () => {
      this.seenRevision = host.proxy.revision;
      const counts = new Map([...host.proxy.open].map(([id, open]) => [id, open.length]));
      return { route: host.proxy.route(component), counts };
    };
    return askProxy(host, () => host.world.effect(life, host, { on: 'proxy', run: look }));
  }

  #container(
    c: Listed,
    record: ComponentRecord,
    seen: { desired: Desired; routed: boolean; open: number; at: number; doing: Doing },
  ): ObservedContainer {
    const mark = record.marks[c.id] ?? {};
    const release = releaseOf(record, c.release);
    const readyBy = (mark.startedAt ?? seen.at) + (release?.component.readyTimeoutMs ?? 0);
    const served = mark.servedAt !== undefined || seen.routed;
    const watched = this.#watched.get(c.id);
    return {
      id: c.id,
      name: c.id,
      release: c.release,
      state: c.state,
      readiness: served ? 'ready' : this.#readiness(c, release, readyBy, seen.at),
      health: watched?.purpose === 'health' ? watched.health : 'unknown',
      healthPolicy: release?.component.healthPolicy ?? 'replace',
      saw: watched?.asked === true ? `it is ${watched.health}` : NOT_ASKED,
      readyBy,
      routed: seen.routed,
      served,
      warmUntil: seen.routed ? undefined : warmUntil(c, mark, seen.desired),
      connections: seen.open,
      drain: this.#drain(c.id, mark, release, seen.open),
      busy: isEnding(seen.doing.get(c.id), c.state),
    };
  }

  #readiness(c: Listed, release: Release | undefined, readyBy: number, at: number): Readiness {
    if (c.state === 'created') return at >= readyBy ? 'late' : 'pending';
    if (c.state === 'exited') return 'pending';
    const watched = this.#watched.get(c.id);
    const noChecks = (release?.component.readyChecks.length ?? 0) === 0;
    if (noChecks || (watched?.purpose === 'ready' && watched.health === 'healthy')) return 'ready';
    const asked = watched === undefined || watched.asked;
    return at >= readyBy && asked ? 'late' : 'pending';
  }

  #drain(id: ContainerId, mark: Mark, release: Release | undefined, connections: number): Drain | undefined {
    if (mark.drainSince === undefined) return undefined;
    const checks = release?.component.terminationChecks ?? [];
    const forConnections = release === undefined || checks.some((c) => c.kind === 'connection');
    const free = !forConnections || connections === 0;
    const watched = this.#watched.get(id);
    const others = checks.some((c) => c.kind !== 'connection');
    const passed = !others || (watched?.purpose === 'termination' && watched.health === 'healthy');
    const timeoutMs = release?.component.drainTimeoutMs;
    return {
      since: mark.drainSince,
      signalled: isSignalled(mark, release),
      mayStop: free && passed,
      heldBy: free ? 'its termination checks' : `${connections} connections`,
      connections,
      deadline: timeoutMs === undefined ? undefined : mark.drainSince + timeoutMs,
    };
  }

  #watch(listed: readonly Listed[], record: ComponentRecord, routed: ReadonlySet<ContainerId>): void {
    const wanted = new Map<ContainerId, Pick<Watched, 'purpose' | 'address'>>();
    for (const c of listed) {
      const purpose = this.#due(c, record, routed.has(c.id));
      const { address } = c;
      if (purpose !== undefined && address !== undefined) wanted.set(c.id, { purpose, address });
    }
    for (const [id, { purpose, address }] of this.#watched) {
      const due = wanted.get(id);
      const isSame = due?.purpose === purpose && due.address === address;
      if (!isSame) this.#watched.delete(id);
    }
    for (const [id, due] of wanted) {
      if (this.#watched.has(id)) continue;
      const watched: Watched = { ...due, health: 'unknown', asked: false, due: false };
      this.#watched.set(id, watched);
      if (due.purpose === 'ready') this.#askReady(id, watched, 15);
      if (due.purpose === 'termination') this.#askTermination(id, watched);
      if (due.purpose === 'health') this.#askHealth(id, watched);
    }
  }

  #due(c: Listed, record: ComponentRecord, routed: boolean): Watched['purpose'] | undefined {
    const release = releaseOf(record, c.release);
    if (release === undefined || c.state !== 'running') return undefined;
    const { terminationChecks, readyChecks, healthChecks } = release.component;
    const ifAny = (purpose: Watched['purpose'], checks: readonly Check[]) =>
      checks.length === 0 ? undefined : purpose;
    const mark = record.marks[c.id];
    if (mark?.drainSince !== undefined) {
      if (!isSignalled(mark, release)) return undefined;
      const others = terminationChecks.filter((k) => k.kind !== 'connection');
      return ifAny('termination', others);
    }
    if (mark?.servedAt === undefined && !routed) return ifAny('ready', readyChecks);
    return this.#input.heal ? ifAny('health', healthChecks) : undefined;
  }

  /** Mirrors a Monitor with `ramp`: readiness is seen within one interval. */
  #askReady(id: ContainerId, watched: Watched, withinMs: number): void {
    this.#later(id, watched, withinMs, (c, now) => {
      watched.asked = true;
      if (c.readyAt <= now) return this.#judge(watched, 'healthy');
      if (Number.isFinite(c.readyAt)) this.#askReady(id, watched, c.readyAt - now + 250);
      else this.#input.poke();
    });
  }

  /** `fall` failures, or one pass, later. */
  #askHealth(id: ContainerId, watched: Watched): void {
    if (watched.due) return;
    const c = this.#input.host.engine.containers.get(id);
    if (c === undefined) return;
    watched.due = true;
    const { fit } = c;
    this.#later(id, watched, fit ? 500 : 15_000, (now) => {
      watched.due = false;
      watched.asked = true;
      if (now.fit === fit) this.#judge(watched, fit ? 'healthy' : 'unhealthy');
      else this.#askHealth(id, watched);
    });
  }

  #askTermination(id: ContainerId, watched: Watched): void {
    this.#later(id, watched, 1_000, (c, now) => {
      watched.asked = true;
      if (c.idleAt <= now) this.#judge(watched, 'healthy');
      else this.#askTermination(id, watched);
    });
  }

  #judge(watched: Watched, health: Watched['health']): void {
    if (watched.health === health) return;
    watched.health = health;
    this.#input.poke();
  }

  #later(
    id: ContainerId,
    watched: Watched,
    withinMs: number,
    run: (c: SimContainer, now: number) => void,
  ): void {
    const { host, life } = this.#input;
    const { schedule, dice } = host.world;
    schedule.after(dice.below(Math.max(1, withinMs)), () =>
      life.deliver(() => {
        if (this.#watched.get(id) !== watched) return;
        const c = host.engine.containers.get(id);
        if (c !== undefined && c.state === 'running' && c.address === watched.address) run(c, schedule.now);
      }),
    );
  }

  *#imagePresent(desired: Desired, containers: readonly ObservedContainer[]): Proc<boolean> {
    const { release } = desired;
    if (desired.status !== 'ready' || release === undefined) return true;
    const there = containers.filter((c) => c.release === release.number && c.state !== 'exited');
    if (there.length >= release.component.instances && !there.some(hasFailed)) return true;
    const { host, life } = this.#input;
    const run = () => host.engine.images.has(release.imageId);
    return yield* host.world.effect(life, host, { on: 'engine', run });
  }
}

/** Mirrors ask() of src/agent/proxy-port.ts: a proxy that went away is started again, once per call. */
export function* askProxy<T>(host: SimHost, call: () => Proc<T>): Proc<T> {
  if (host.proxy.up) return yield* call();
  const { schedule, dice } = host.world;
  yield (task) =>
    schedule.after(100 + dice.below(400), () => {
      host.proxy.up = true;
      task.resume();
    });
  return yield* call();
}

function warmUntil(c: Listed, mark: Mark, { previous, keepOldMs }: Desired): number | undefined {
  const { unroutedAt, drainSince } = mark;
  if (keepOldMs === 0 || unroutedAt === undefined || drainSince !== undefined) return undefined;
  return c.release === previous?.number ? unroutedAt + keepOldMs : undefined;
}

function isSignalled(mark: Mark, release: Release | undefined): boolean {
  return mark.signalledAt !== undefined || (release?.component.terminationSignals.length ?? 0) === 0;
}

function releaseOf(record: ComponentRecord, number: number): Release | undefined {
  return record.releases.find((r) => r.number === number) ?? record.releases.at(-1);
}
