/**
 * Observes one component on this host: asks the engine and the proxy, runs the checks that are due, and
 * puts it together into an Observed value. Decides nothing. Its monitors are its only memory, and
 * they can be thrown away at any time.
 */
import type { Check, Health, Target, Verdict } from '../checks/check.ts';
import { Monitor } from '../checks/monitor.ts';
import type { Surroundings } from '../checks/probes.ts';
import type { Component } from '../config/project.ts';
import type { Container, Engine } from '../docker/engine.ts';
import type { Tell } from '../events.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { BackendReport } from '../proxy/control/protocol.ts';
import type { Backend } from '../proxy/tables/routes.ts';
import { isOnTrial } from './plan/canary-mark.ts';
import { type Doing, hasFailed, isEnding } from './plan/standing.ts';
import {
  type ContainerId,
  type Desired,
  type Drain,
  NOT_ASKED,
  type Observed,
  type ObservedContainer,
  type Readiness,
  type Release,
} from './plan/state.ts';
import { planesOf } from './planes.ts';
import type { ProxyPort } from './proxy-port.ts';
import { describe, heldBy, splitSeen, tableRoute } from './proxy-seen.ts';
import type { ComponentRecord, Mark } from './record.ts';
import { type Purpose, verdictHearer, wordsOf } from './verdicts.ts';

export interface ObserverInput {
  readonly project: string;
  readonly component: string;
  readonly hostId: string;
  readonly engine: Engine;
  readonly proxy: ProxyPort;
  /** Whether health checks run: only for somebody who stays to act on them. */
  readonly heal: boolean;
  readonly now: () => number;
  readonly tell: Tell;
  /** Something may have changed: look again. */
  readonly poke: () => void;
  /** Default: nobody wants numbers. */
  readonly metrics?: Metrics | undefined;
}

const UNWELL = 'Docker says it is unhealthy';

interface Watched {
  readonly purpose: Purpose;
  readonly host: string;
  readonly monitor: Monitor;
}

/** What only the loop knows. */
export interface ObserverMemory {
  readonly doing: Doing;
  readonly startAfter: number;
  readonly failures: number;
  readonly mayAdvance: () => boolean;
}

export class Observer {
  readonly #input: ObserverInput;
  readonly #watched = new Map<ContainerId, Watched>();
  #addresses: ReadonlyMap<ContainerId, string> = new Map();
  #closed = false;
  /** What was seen last by checks that are over, as those before the switch. */
  readonly #sawBefore = new Map<ContainerId, string>();
  /** Told to be unhealthy by the check that their image brings. */
  #unwell: ReadonlySet<ContainerId> = new Set();

  constructor(input: ObserverInput) {
    this.#input = input;
  }

  /** What is there now. */
  async observe(desired: Desired, record: ComponentRecord, memory: ObserverMemory): Promise<Observed> {
    const { engine, project, component, hostId, proxy, now } = this.#input;
    const [containers, status] = await Promise.all([
      engine.containers({ project, component, host: hostId }),
      proxy.status(project),
    ]);
    const [route, at] = [tableRoute(status, project, component), now()];
    this.#addresses = addressesOf(containers);
    // One that was started again by hand may have another address or process: what goes to the old one misses it.
    const isReached = ({ id, host }: Backend) =>
      (this.#addresses.get(id) ?? host) === host && heldBy(status, id)?.gone !== true;
    const reached = route?.backends.filter(isReached);
    const routed = new Set(reached?.map((b) => b.id));
    await this.#watch(containers, record, routed);
    this.#heedImages(containers, record, routed);
    const observed = containers.map((c) =>
      this.#container(c, record, {
        desired,
        routed: routed.has(c.id),
        held: heldBy(status, c.id),
        at,
        doing: memory.doing,
      }),
    );
    return {
      now: at,
      imagePresent: await this.#imagePresent(desired, observed),
      containers: observed,
      listeners: route?.listeners ?? [],
      ...splitSeen(status, component, route),
      ...planesOf(status, component),
      startAfter: memory.startAfter,
      failures: memory.failures,
      heals: this.#input.heal,
      mayAdvance: memory.mayAdvance(),
    };
  }

  /** What its checks saw last: the first that failed, else the first. */
  lastVerdict(id: ContainerId): Verdict | undefined {
    const verdicts = this.#watched.get(id)?.monitor.last ?? [];
    return verdicts.find((v) => !v.ok) ?? verdicts[0];
  }

  /** What all checks saw last, without how long it took. */
  words(): string {
    return [...this.#watched].map(([id, { monitor }]) => `${id} ${wordsOf(monitor.last)}`).join('\n');
  }

  /** Where a container was reached at the last look; undefined: nowhere. */
  addressOf(id: ContainerId): string | undefined {
    return this.#addresses.get(id);
  }

  /** It is started: what was seen of it before says nothing any more. */
  async forget(id: ContainerId): Promise<void> {
    const watched = this.#watched.get(id);
    this.#watched.delete(id);
    await watched?.monitor.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#watched.keys()].map((id) => this.forget(id)));
  }

  #container(
    c: Container,
    record: ComponentRecord,
    seen: {
      desired: Desired;
      routed: boolean;
      held: BackendReport | undefined;
      at: number;
      doing: Doing;
    },
  ): ObservedContainer {
    const mark = record.marks[c.id] ?? {};
    const release = releaseOf(record, c.release);
    const readyBy = (mark.startedAt ?? seen.at) + (release?.component.readyTimeoutMs ?? 0);
    const served = mark.servedAt !== undefined || seen.routed;
    return {
      id: c.id,
      name: c.name,
      release: c.release,
      state: stateOf(c),
      readiness: served ? 'ready' : this.#readiness(c, release, readyBy, seen.at),
      health: this.#unwell.has(c.id) ? 'unhealthy' : this.#health(c.id),
      healthPolicy: release?.component.healthPolicy ?? 'replace',
      saw: this.#saw(c.id),
      readyBy,
      routed: seen.routed,
      served,
      warmUntil: seen.routed ? undefined : warmUntil(c, mark, seen.desired),
      connections: seen.held?.open ?? 0,
      drain: this.#drain(c.id, mark, release, seen.held),
      busy: isEnding(seen.doing.get(c.id), stateOf(c)),
    };
  }

  #readiness(c: Container, release: Release | undefined, readyBy: number, at: number): Readiness {
    const state = stateOf(c);
    // A start that the engine refused leaves it created for ever.
    if (state === 'created') return at >= readyBy ? 'late' : 'pending';
    if (state === 'exited') return 'pending';
    const watched = this.#watched.get(c.id);
    const noChecks = (release?.component.readyChecks.length ?? 0) === 0;
    if (noChecks || (watched?.purpose === 'ready' && watched.monitor.health === 'healthy')) return 'ready';
    // Who has just come to it asks first: it may have become ready while nobody looked.
    const asked = watched === undefined || watched.monitor.last.length > 0;
    return at >= readyBy && asked ? 'late' : 'pending';
  }

  #health(id: ContainerId): ObservedContainer['health'] {
    const watched = this.#watched.get(id);
    return watched?.purpose === 'health' ? watched.monitor.health : 'unknown';
  }

  #saw(id: ContainerId): string {
    if (this.#unwell.has(id) && this.#health(id) !== 'unhealthy') return UNWELL;
    return this.lastVerdict(id)?.saw ?? this.#sawBefore.get(id) ?? NOT_ASKED;
  }

  /** A container that has served and may go on is unhealthy when Docker calls it so. Its other words change nothing. */
  #heedImages(
    containers: readonly Container[],
    { marks }: ComponentRecord,
    routed: ReadonlySet<ContainerId>,
  ): void {
    if (!this.#input.heal) return;
    const hasServed = ({ id }: Container) => marks[id]?.servedAt !== undefined || routed.has(id);
    const judged = containers.filter((c) => hasServed(c) && marks[c.id]?.drainSince === undefined);
    const before = this.#unwell;
    this.#unwell = new Set(judged.filter((c) => c.health === 'unhealthy').map((c) => c.id));
    for (const { id, health } of judged) {
      const is = this.#unwell.has(id);
      if (is === before.has(id)) continue;
      const own = this.#health(id);
      if (own === 'unhealthy') continue; // told already
      const other = health === 'healthy' ? health : own;
      const [was, now] = is ? ([own, 'unhealthy'] as const) : (['unhealthy', other] as const);
      const why = is
        ? UNWELL
        : `Docker says ${health === 'none' ? 'nothing of its health' : `it is ${health}`}`;
      this.#input.tell({ kind: 'health-changed', container: id, was, now, why });
    }
  }

  #drain(
    id: ContainerId,
    mark: Mark,
    release: Release | undefined,
    held: BackendReport | undefined,
  ): Drain | undefined {
    if (mark.drainSince === undefined) return undefined;
    const connections = held?.open ?? 0;
    const checks = release?.component.terminationChecks ?? [];
    // Of a container whose release is forgotten nothing is known, so its connections count.
    const forConnections = release === undefined || checks.some((c) => c.kind === 'connection');
    const free = !forConnections || connections === 0;
    const watched = this.#watched.get(id);
    const others = checks.some((c) => c.kind !== 'connection');
    const passed = !others || (watched?.purpose === 'termination' && watched.monitor.health === 'healthy');
    const timeoutMs = release?.component.drainTimeoutMs;
    return {
      since: mark.drainSince,
      signalled: isSignalled(mark, release?.component),
      mayStop: free && passed,
      heldBy: free ? (this.lastVerdict(id)?.saw ?? 'its termination checks') : describe(held),
      connections,
      deadline: timeoutMs === undefined ? undefined : mark.drainSince + timeoutMs,
    };
  }

  /** Starts and ends monitors so that each container has the one its phase asks for. */
  async #watch(
    containers: readonly Container[],
    record: ComponentRecord,
    routed: ReadonlySet<ContainerId>,
  ): Promise<void> {
    const wanted = new Map<ContainerId, { purpose: Purpose; checks: readonly Check[]; target: Target }>();
    for (const c of containers) {
      const due = this.#due(c, record, routed.has(c.id));
      if (due !== undefined && c.address !== undefined) {
        wanted.set(c.id, { ...due, target: { container: c.id, host: c.address } });
      }
    }
    for (const [id, { purpose, host, monitor }] of this.#watched) {
      const due = wanted.get(id);
      if (due?.purpose === purpose && due.target.host === host) continue;
      const last = this.lastVerdict(id);
      if (last !== undefined) this.#sawBefore.set(id, last.saw);
      this.#watched.delete(id);
      await monitor.close();
    }
    for (const id of this.#sawBefore.keys()) {
      if (!containers.some((c) => c.id === id)) this.#sawBefore.delete(id);
    }
    for (const [id, due] of wanted) {
      if (this.#closed) return; // a look that was under way begins nothing any more
      if (!this.#watched.has(id)) this.#start(id, due.purpose, due.checks, due.target);
    }
  }

  #due(
    c: Container,
    record: ComponentRecord,
    routed: boolean,
  ): { purpose: Purpose; checks: readonly Check[] } | undefined {
    const component = releaseOf(record, c.release)?.component;
    if (component === undefined || stateOf(c) !== 'running') return undefined;
    const mark = record.marks[c.id];
    if (mark?.drainSince !== undefined) {
      // What passed before the signals may not hold after them: a worker between two jobs is idle, too.
      if (!isSignalled(mark, component)) return undefined;
      return ifAny(
        'termination',
        component.terminationChecks.filter((k) => k.kind !== 'connection'),
      );
    }
    if (mark?.servedAt === undefined && !routed) return ifAny('ready', component.readyChecks);
    const isAsked = this.#input.heal || (isOnTrial(record) && c.release === record.release);
    return isAsked ? ifAny('health', component.healthChecks) : undefined;
  }

  #start(id: ContainerId, purpose: Purpose, checks: readonly Check[], target: Target): void {
    const { tell, poke, metrics } = this.#input;
    let was: Health = 'unknown';
    const monitor = new Monitor({
      checks,
      target,
      surroundings: this.#surroundings(),
      ramp: purpose === 'ready',
      onChange: () => {
        this.#tellHealth(id, purpose, was, monitor.health);
        was = monitor.health;
        poke();
      },
      onVerdict: verdictHearer({ container: id, purpose, tell, metrics }),
    });
    this.#watched.set(id, { purpose, host: target.host, monitor });
    monitor.start();
  }

  #tellHealth(id: ContainerId, purpose: Purpose, was: Health, now: Health): void {
    const { tell } = this.#input;
    if (purpose === 'ready' && now === 'healthy') tell({ kind: 'container-ready', container: id });
    if (purpose !== 'health') return;
    const why = this.lastVerdict(id)?.saw ?? NOT_ASKED;
    tell({ kind: 'health-changed', container: id, was, now, why });
  }

  #surroundings(): Surroundings {
    const { engine, proxy, project, now } = this.#input;
    return {
      exec: (container, command, timeoutMs) => engine.exec(container, command, timeoutMs),
      connections: async (container) => heldBy(await proxy.status(project), container)?.open ?? 0,
      now,
      engineAnswers: () => engine.exists('gantryd'),
    };
  }

  /** Asked only when a container is missing: otherwise nobody needs to know. */
  async #imagePresent(desired: Desired, containers: readonly ObservedContainer[]): Promise<boolean> {
    const { release } = desired;
    if (desired.status !== 'ready' || release === undefined) return true;
    const there = containers.filter((c) => c.release === release.number && c.state !== 'exited');
    if (there.length >= release.component.instances && !there.some(hasFailed)) return true;
    return (await this.#input.engine.image(release.imageId)) !== undefined;
  }
}

function addressesOf(containers: readonly Container[]): ReadonlyMap<ContainerId, string> {
  return new Map(containers.flatMap((c) => (c.address === undefined ? [] : [[c.id, c.address] as const])));
}

/** A container of the release before that has served, from when on it got nothing new. */
function warmUntil(c: Container, mark: Mark, { previous, keepOldMs }: Desired): number | undefined {
  const { unroutedAt, drainSince } = mark;
  if (keepOldMs === 0 || unroutedAt === undefined || drainSince !== undefined) return undefined;
  return c.release === previous?.number ? unroutedAt + keepOldMs : undefined;
}

/** Its termination signals are sent, or there are none. */
function isSignalled(mark: Mark, component: Component | undefined): boolean {
  return mark.signalledAt !== undefined || (component?.terminationSignals.length ?? 0) === 0;
}

function ifAny(purpose: Purpose, checks: readonly Check[]) {
  return checks.length === 0 ? undefined : { purpose, checks };
}

/** The release a container was made from; one that is forgotten is judged by the newest. */
function releaseOf(record: ComponentRecord, number: number): Release | undefined {
  return record.releases.find((r) => r.number === number) ?? record.releases.at(-1);
}

function stateOf(c: Container): ObservedContainer['state'] {
  if (c.state === 'created') return 'created';
  return c.state === 'running' || c.state === 'paused' || c.state === 'restarting' ? 'running' : 'exited';
}
