/**
 * What gantryd promises, looked at after every effect and at whatever happens by itself. It knows the truth: what an
 * agent believed is no excuse but where it could not know better, which is said at each.
 */

import type { Release } from '../../src/agent/plan/state.ts';
import type { ComponentRecord } from '../../src/agent/record.ts';
import type { Route } from '../../src/proxy/tables/routes.ts';
import type { Ending, SimContainer } from './engine.ts';
import type { SimHost, World } from './world.ts';

export interface Put {
  readonly component: string;
  readonly after: Route | undefined;
  /** True time of the look that it was decided from. */
  readonly lookedAt: number;
  readonly desired: Release | undefined;
}

export class Promises {
  readonly #world: World;
  /** By container: whether its drain's time was over when its stop was asked for. */
  readonly #mayCut = new Map<string, boolean>();
  /** By container: when the look was that it was routed from, and when it was routed; and when it ended. */
  readonly #routed = new Map<string, readonly [lookedAt: number, at: number]>();
  readonly #endedAt = new Map<string, number>();
  /** `HOST GENERATION` of what was adopted where nothing served. */
  readonly adoptedFreely = new Set<string>();
  /** Connections that ended with something that no agent could help, and all. */
  cut = 0;
  connections = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** After every effect on the host. */
  check(host: SimHost): void {
    for (const { component, backends } of host.proxy.table.routes) {
      const { marks } = host.kept(component).record;
      for (const { id, host: address } of backends) {
        if (marks[id]?.drainSince !== undefined) this.#broken(host, `${id} drains and is routed`);
        this.#holdAddress(host, id, address);
      }
    }
  }

  /** INVARIANT: the table never leads to an address whose container ended before another one took it. */
  #holdAddress(host: SimHost, id: string, address: string): void {
    const there = host.engine.at(address);
    if (there === undefined || there === id) return;
    const taker = host.engine.containers.get(there);
    // Between a look and the call that was decided from it nobody can know: a start, or a route.
    const endedAt = this.#endedAt.get(id) ?? 0;
    const [lookedAt, routedAt] = this.#routed.get(id) ?? [0, 0];
    if (endedAt >= (taker?.tablesSeenAt ?? 0) || (endedAt >= lookedAt && endedAt <= routedAt)) return;
    this.#broken(host, `requests for ${id} reach ${there}, which has its address ${address} now`);
  }

  onStart(host: SimHost, c: SimContainer): void {
    this.check(host);
    if (c.component === '') return;
    const release = releaseOf(host, c);
    if (!isAlone(release)) return;
    const other = host.engine
      .list(c.component)
      .find((o) => o !== c && o.state === 'running' && isAlone(releaseOf(host, o)));
    if (other !== undefined) this.#broken(host, `${c.id} runs beside ${other.id}, though it never must`);
  }

  /** A stop is asked for now. */
  onStop(host: SimHost, id: string): void {
    const c = host.engine.containers.get(id);
    if (c === undefined) return;
    const since = host.kept(c.component).record.marks[id]?.drainSince;
    const timeoutMs = releaseOf(host, c)?.component.drainTimeoutMs;
    const isOver = since !== undefined && timeoutMs !== undefined && since + timeoutMs <= host.now();
    this.#mayCut.set(id, isOver || this.#mayCut.get(id) === true);
  }

  onEnd(host: SimHost, c: SimContainer, how: Ending): void {
    this.#endedAt.set(c.id, this.#world.now);
    if (how === 'died') {
      this.#forgive(host, c);
      return;
    }
    if (c.component === '') this.#broken(host, `${c.id} is not ours and was ${how}`);
    const isRouted = host.proxy.route(c.component)?.backends.some((b) => b.id === c.id) === true;
    // A kill may be on its way when somebody else wants the component again.
    if (isRouted && !(how === 'killed' && this.#mayKill(host, c)))
      this.#broken(host, `${c.id} was ${how} while it is routed`);
    const open = host.proxy.count(c.id);
    const isAllowed = how === 'stopped' ? this.#mayCut.get(c.id) === true : this.#mayKill(host, c);
    if (open > 0 && !isAllowed) this.#broken(host, `${c.id} was ${how} and cut ${open} connections`);
    if (how === 'killed' && !this.#mayKill(host, c))
      this.#broken(host, `${c.id} was killed, and nobody asked`);
    this.#forgive(host, c);
  }

  #mayKill(host: SimHost, c: SimContainer): boolean {
    const { record, killAskedAt } = host.kept(c.component);
    return record.status === 'killed' || c.createdAt <= killAskedAt;
  }

  #forgive(host: SimHost, { id }: SimContainer): void {
    this.cut += host.proxy.count(id);
    host.proxy.open.delete(id);
  }

  /** An agent replaces the component's route: right before it is in force. */
  onPut(host: SimHost, { component, after, lookedAt, desired }: Put): void {
    const record = host.kept(component).record;
    const get = (id: string) => host.engine.containers.get(id);
    const now = host.proxy.route(component)?.backends.map((b) => b.id) ?? [];
    const next = after?.backends.map((b) => b.id) ?? [];
    for (const id of next) this.#routed.set(id, [lookedAt, this.#world.now]);
    for (const id of next.filter((n) => !now.includes(n))) {
      const c = get(id);
      if (c === undefined) continue; // gone since the look
      if (c.component !== component) this.#broken(host, `${id} is routed to, which is not of ${component}`);
      if (!wasReady(host, c)) this.#broken(host, `${id} is routed to and never was ready`);
      if (record.marks[id]?.drainSince !== undefined)
        this.#broken(host, `${id} drained and is routed to again`);
    }
    if (record.status !== 'ready' || desired?.component.update.order === 'stop-first') return;
    const serves = now
      .flatMap((id) => get(id) ?? [])
      .filter((c) => c.state === 'running' && !this.#mayKill(host, c));
    const wouldServe = next.some((id) => {
      const c = get(id);
      return c !== undefined && (c.state === 'running' || (c.endedAt ?? 0) >= lookedAt);
    });
    if (serves.length > 0 && !wouldServe) {
      this.#broken(host, `${serves.map((c) => c.id)} served last, and nothing takes over`);
    }
  }

  /** What does not run is taken out of the table, as of a look at what does. */
  onUnrouteGone(host: SimHost, ids: readonly string[], seenAt: number): void {
    for (const id of ids) {
      const c = host.engine.containers.get(id);
      if (c?.state === 'running' && (c.startedAt ?? 0) < seenAt)
        this.#broken(host, `${id} runs and is taken out`);
    }
  }

  /** An unproven release of a fleet is brought further on the host. Set by the fleet. */
  onAdvance: (
    host: SimHost,
    component: string,
    record: ComponentRecord,
    releases: readonly number[],
    what: string,
  ) => void = () => undefined;

  /** A client comes. */
  onConnect(host: SimHost, component: string, id: string): void {
    this.connections++;
    const c = host.engine.containers.get(id);
    if (c?.component !== component) this.#broken(host, `a client of ${component} reaches ${id}`);
    if (c !== undefined && !wasReady(host, c))
      this.#broken(host, `a client reaches ${id}, which never was ready`);
  }

  #broken(host: SimHost, words: string): never {
    return this.#world.violated(`host ${host.name}: ${words}`);
  }
}

/** Without ready checks whoever runs is ready. */
function wasReady(host: SimHost, c: SimContainer): boolean {
  if (c.startedAt === undefined) return false;
  const isAsked = releaseOf(host, c)?.component.readyChecks.length !== 0;
  return !isAsked || (c.endedAt ?? host.world.now) >= c.readyAt;
}

function releaseOf(host: SimHost, c: SimContainer): Release | undefined {
  return host.kept(c.component).record.releases.find((r) => r.number === c.release);
}

/** Beside one that may run twice it may, too: the other was started so. */
function isAlone(release: Release | undefined): boolean {
  return release?.component.update.order === 'stop-first';
}
