/**
 * Mirrors src/agent/execute.ts and the port of src/agent/proxy-port.ts: one executor a kind, whose every call is an
 * effect boundary of its own, in the same order and behind the same fences. What is only told is left out.
 */

import { type Round, TurnLost } from '../../src/agent/execute.ts';
import type { Action } from '../../src/agent/plan/action.ts';
import type { ContainerId, Release } from '../../src/agent/plan/state.ts';
import {
  type ComponentRecord,
  withFailedRelease,
  withMark,
  withProven,
  withServing,
} from '../../src/agent/record.ts';
import { GantryError, isGantryError } from '../../src/errors.ts';
import {
  DEFAULT_LIMITS,
  type Route,
  type RouteTable,
  withBackends,
  withRoute,
} from '../../src/proxy/tables/routes.ts';
import type { SimView } from './agent.ts';
import { askProxy, type SimObserver } from './observer.ts';
import { joinAll, type Life, type Proc, pause, settled, type Task } from './schedule.ts';
import type { SimHost } from './world.ts';

const WRITE_TRIES = 20;

export interface ExecutorsInput {
  readonly host: SimHost;
  readonly life: Life;
  readonly component: string;
  readonly observer: SimObserver;
  readonly mayAdvance: () => boolean;
  readonly keepsOld: boolean;
}

export interface Executing {
  readonly round: Round;
  readonly view: SimView;
}

export class SimExecutors {
  readonly #input: ExecutorsInput;
  #writes: Task | undefined;

  constructor(input: ExecutorsInput) {
    this.#input = input;
  }

  *execute(action: Action, on: Executing): Proc {
    const { round } = on;
    switch (action.kind) {
      case 'pull-image':
        return yield* this.#pull(round);
      case 'create-container':
        return yield* this.#create(action.release, round);
      case 'start-container': {
        const release = round.observed.containers.find((c) => c.id === action.container)?.release ?? 0;
        return yield* this.#start(action.container, release, round);
      }
      case 'route':
        return yield* this.#route(action, on);
      case 'prove-release':
        this.#refuseWithoutTurn(round, [action.release]);
        return yield* this.#save(round, `proves ${action.release}`, (r) =>
          withProven(r, action.release, this.#input.host.now()),
        );
      case 'fail-release':
        yield* this.#lastWords();
        this.#refuseWithoutTurn(round, [action.release]);
        return yield* this.#save(round, `fails ${action.release}: ${action.why}`, (r) =>
          withFailedRelease(r, action.release, action.why),
        );
      case 'drain':
        return yield* this.#save(round, `drains ${action.container}: ${action.why}`, (r) =>
          withMark(r, action.container, { drainSince: this.#input.host.now() }),
        );
      case 'send-signals':
        return yield* this.#signal(action.container, round);
      case 'stop-container':
        return yield* this.#stop(action.container, round, action.why);
      case 'kill-container':
        return yield* this.#engine(`kills ${action.container}`, () =>
          this.#input.host.engine.kill(action.container),
        );
      case 'remove-container':
        return yield* this.#remove(action.container);
      case 'remove-failed':
        yield* this.#lastWords();
        return yield* this.#remove(action.container);
      case 'wait':
        return;
    }
  }

  /** As RecordFile.write(). */
  *write(record: ComponentRecord, words: string): Proc {
    const { host, life, component } = this.#input;
    const run = () => host.write(component, record);
    yield* host.world.effect(life, host, { on: 'record', words: `${component} record: ${words}`, run });
  }

  *#pull(round: Round): Proc {
    const { host } = this.#input;
    const release = round.record.releases.find((r) => r.number === round.record.release);
    yield* this.#engine(`pulls the image of ${release?.number}`, () => {
      const image = host.engine.registry.get(release?.imageId ?? '');
      if (image === undefined) throw new GantryError('image-not-found', 'no registry has it');
      host.engine.images.set(image.id, image);
      for (const c of host.components.values()) for (const poke of c.pokes) poke();
    });
  }

  *#create(number: number, round: Round): Proc {
    const { host, component } = this.#input;
    const release = round.record.releases.find((r) => r.number === number);
    if (release === undefined) throw new GantryError('internal', `release ${number} is not recorded`);
    this.#refuseWithoutTurn(round, [number]);
    const id = yield* this.#engine(`creates a container of ${component} ${number}`, () =>
      host.engine.create(component, number, release.imageId),
    );
    yield* this.#start(id, number, round);
  }

  /** startIt() */
  *#start(id: ContainerId, release: number, round: Round): Proc {
    const { host, life, component, observer } = this.#input;
    const marked = life.fork(
      this.#save(round, `${id} starts`, (r) => withMark(r, id, { startedAt: host.now(), release })),
    );
    let seenAt = 0;
    let hasEnded = false;
    const seen = (at: number) => {
      seenAt = at;
      hasEnded = host.engine.containers.get(id)?.state === 'exited';
    };
    const gone = life.fork(this.#unrouteGone(seen));
    yield* joinAll([marked as Task, gone as Task]);
    this.#refuseWithoutTurn(round, [release]);
    if (hasEnded) return;
    host.world.promises.onAdvance(host, component, round.record, [release], 'starts');
    observer.forget(id);
    // An engine that takes its time does not start once more what runs when it is asked.
    const isRunning = host.engine.containers.get(id)?.state === 'running';
    const start = () => (isRunning ? undefined : host.engine.start(id, seenAt));
    yield* this.#engine(`starts ${id}`, start, 5 + host.world.dice.below(80));
  }

  *#route(action: Extract<Action, { kind: 'route' }>, { round, view }: Executing): Proc {
    const { host, component, keepsOld } = this.#input;
    const { containers } = round.observed;
    const was = containers.filter((c) => c.routed).map((c) => c.id);
    const added = containers.filter((c) => action.containers.includes(c.id) && !c.routed);
    const releases = added.map((c) => c.release);
    const off = keepsOld ? was.filter((id) => !action.containers.includes(id)) : [];
    const route = this.#routeFor(action);
    this.#refuseWithoutTurn(round, releases);
    const marked = withServing(round.record, action.containers, off, host.now());
    const mark = () => this.#save(round, `${action.containers} serve`, () => marked);
    const { routesFirst } = host.world.sabotage;
    if (marked !== round.record && !routesFirst) yield* mark();
    this.#refuseWithoutTurn(round, releases);
    host.world.promises.onAdvance(host, component, round.record, releases, 'switches to');
    yield* this.#setRoute(route, view, `routes ${component} to ${action.containers}: ${action.why}`);
    if (marked !== round.record && routesFirst) yield* mark();
  }

  #routeFor(action: Extract<Action, { kind: 'route' }>): Route | undefined {
    if (action.containers.length === 0 && action.listeners.length === 0) return undefined;
    const backends = action.containers.map((id) => {
      const host = this.#input.observer.addressOf(id);
      if (host === undefined) throw new GantryError('container-gone', `${id} has no address`);
      return { id, host };
    });
    return { component: this.#input.component, listeners: action.listeners, backends };
  }

  *#signal(id: ContainerId, round: Round): Proc {
    const { host, observer } = this.#input;
    yield* this.#save(round, `signals ${id}`, (r) => withMark(r, id, { signalledAt: host.now() }));
    if (observer.addressOf(id) === undefined) return;
    yield* this.#engine(`signals ${id}`, () => {
      const c = host.engine.containers.get(id);
      if (c === undefined) return;
      c.idleAt = host.world.now + host.world.dice.below(4_000);
      c.signals++;
      if (c.signals > 1) host.world.violated(`host ${host.name}: ${id} was signalled twice`);
    });
  }

  *#stop(id: ContainerId, round: Round, why: string): Proc {
    const { host } = this.#input;
    const seen = round.observed.containers.find((c) => c.id === id);
    const stopTimeoutMs = releaseOf(round, seen?.release)?.component.stopTimeoutMs ?? 10_000;
    const ms = yield* this.#engine(`stops ${id}: ${why}`, () => {
      host.world.promises.onStop(host, id);
      return host.engine.stop(id, stopTimeoutMs);
    });
    yield* pause(host.world.schedule, ms);
  }

  *#remove(id: ContainerId): Proc {
    yield* this.#engine(`removes ${id}`, () => this.#input.host.engine.removeStopped(id));
  }

  /** lastWordsOf() */
  *#lastWords(): Proc {
    const { host, life } = this.#input;
    yield* host.world.effect(life, host, { on: 'engine', run: () => undefined });
  }

  *#engine<T>(words: string, run: () => T, ms?: number): Proc<T> {
    const { host, life } = this.#input;
    return yield* host.world.effect(life, host, {
      on: 'engine',
      words,
      run,
      ...(ms === undefined ? {} : { ms }),
    });
  }

  /** save(): each with all that came before, one after the other. */
  *#save(round: Round, words: string, change: (record: ComponentRecord) => ComponentRecord): Proc {
    round.record = change(round.record);
    const { record } = round;
    const before = this.#writes;
    const write = this.#input.life.fork(this.#after(before, record, words)) as Task;
    this.#writes = write;
    yield* joinAll([write]);
  }

  *#after(before: Task | undefined, record: ComponentRecord, words: string): Proc {
    if (before !== undefined) yield* settled(before);
    yield* this.write(record, words);
  }

  #refuseWithoutTurn(round: Round, numbers: readonly number[]): void {
    if (this.#input.host.world.sabotage.noFence) return;
    const proven = new Set(round.record.releases.filter((r) => r.proven).map((r) => r.number));
    if (numbers.every((n) => proven.has(n)) || this.#input.mayAdvance()) return;
    throw new TurnLost(`release ${numbers.join(', ')} is not to go on without this host's turn`);
  }

  /** ProxyPort.setRoute() */
  *#setRoute(route: Route | undefined, view: SimView, words: string): Proc {
    const { host, observer, component } = this.#input;
    const put = () => {
      const table = withRoute(host.proxy.table, component, route);
      const { lookedAt, desired } = view;
      this.#put(table, observer.seenRevision ?? -1, () =>
        host.world.promises.onPut(host, { component, after: route, lookedAt, desired: desired.release }),
      );
    };
    yield* this.#untilWritten(function* (this: SimExecutors) {
      if (observer.seenRevision === undefined) yield* this.#readTable();
      yield* this.#askPut(words, put);
    });
  }

  /** ProxyPort.unrouteGone(), with what startIt() of execute.ts asks of the engine. */
  *#unrouteGone(seen: (at: number) => void): Proc {
    const { host, life, observer } = this.#input;
    if (host.world.sabotage.keepsGone) return seen(host.world.now);
    yield* this.#untilWritten(function* (this: SimExecutors) {
      // Its own: containers start side by side, and each sees to the tables.
      const revision = yield* this.#readTable();
      const { table } = host.proxy;
      let at = 0;
      const running = yield* host.world.effect(life, host, {
        on: 'engine',
        run: () => {
          at = host.world.now;
          seen(at);
          return new Set(host.engine.list().flatMap((c) => (c.state === 'running' ? [c.id] : [])));
        },
      });
      const next = withBackends(table, (id) => running.has(id));
      if (next === table) return;
      const out = ids(table).filter((id) => !ids(next).includes(id));
      yield* this.#askPut(`takes ${out} out`, () =>
        this.#put(next, revision, () => host.world.promises.onUnrouteGone(host, out, at)),
      );
      observer.seenRevision = undefined;
    });
  }

  #put(table: RouteTable, revision: number, promise: () => void): void {
    const { host, observer } = this.#input;
    observer.seenRevision = undefined;
    if (revision === host.proxy.revision) promise();
    host.proxy.put(revision, { ...table, limits: DEFAULT_LIMITS });
    for (const c of host.components.keys()) host.changed(c);
  }

  *#readTable(): Proc<number> {
    const { host, life, observer } = this.#input;
    const run = () => {
      observer.seenRevision = host.proxy.revision;
      return host.proxy.revision;
    };
    return yield* askProxy(host, () => host.world.effect(life, host, { on: 'proxy', run }));
  }

  *#askPut(words: string, run: () => void): Proc {
    const { host, life } = this.#input;
    yield* askProxy(host, () => host.world.effect(life, host, { on: 'proxy', words, run }));
  }

  *#untilWritten(write: (this: SimExecutors) => Proc): Proc {
    for (let left = WRITE_TRIES; ; left--) {
      try {
        return yield* write.call(this);
      } catch (error) {
        if (!isGantryError(error, 'route-conflict') || left <= 1) throw error;
      }
    }
  }
}

function ids(table: RouteTable): readonly ContainerId[] {
  return table.routes.flatMap((r) => r.backends.map((b) => b.id));
}

function releaseOf(round: Round, number: number | undefined): Release | undefined {
  return round.record.releases.find((r) => r.number === number) ?? round.record.releases.at(-1);
}
