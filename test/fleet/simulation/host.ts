/**
 * A host of the simulation: the real agent around an engine and a proxy in memory, with all that can happen to it. It
 * can end in order, or at once: then nothing of it reaches engine, proxy or coordinator any more, and the next start
 * finds its files as they were at that instant. What the agent does is held to the promises as it does it.
 */
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProxyPort } from '../../../src/agent/proxy-port.ts';
import type { ComponentRecord } from '../../../src/agent/record.ts';
import { readTurn } from '../../../src/cluster/values.ts';
import type { Engine } from '../../../src/docker/engine.ts';
import { GantryError } from '../../../src/errors.ts';
import type { AgentEvent } from '../../../src/events.ts';
import { runHost } from '../../../src/fleet/host.ts';
import type { MemoryCluster } from '../../cluster/memory-cluster.ts';
import { MemoryStore } from '../../cluster/memory-store.ts';
import { FakeEngine, type Program } from '../../docker/fake-engine.ts';
import { FakeProxy } from '../fake-proxy.ts';
import { COMPONENT, KEYS, PROJECT } from './shop.ts';

/** In a second, far above what an eventful one takes. */
const MOST_WRITES = 60;
const MOST_LOOKS = 300;

export interface SimHostInput {
  readonly name: string;
  readonly folder: string;
  readonly cluster: MemoryCluster;
  readonly program: (image: string) => Program;
  readonly tell: (words: string) => void;
  readonly violated: (words: string) => void;
  /** Etcd broke its word a moment ago (restored, wiped, a lease ended early): no turn can be relied on. */
  readonly isExcused: () => boolean;
}

interface Life {
  readonly controller: AbortController;
  readonly store: MemoryStore;
  /** Rejects everything once the process is gone. */
  readonly reach: { gone: boolean };
  readonly ended: Promise<void>;
}

export class SimHost {
  readonly name: string;
  readonly engine: FakeEngine;
  readonly proxy = new FakeProxy();
  readonly #input: SimHostInput;
  #life: Life | undefined;
  readonly #past: Promise<void>[] = [];
  #lives = 0;
  readonly #counted = new Map<string, number[]>();
  #connected = true;

  constructor(input: SimHostInput) {
    this.#input = input;
    this.name = input.name;
    this.engine = new FakeEngine({ program: (spec) => input.program(imageName(String(spec.body.Image))) });
  }

  get runs(): boolean {
    return this.#life !== undefined;
  }

  start(): void {
    if (this.#life !== undefined) return;
    const { cluster, name } = this.#input;
    const store = new MemoryStore(cluster);
    const commit = store.commit.bind(store);
    store.commit = (...given) => {
      this.#count('writes to etcd', MOST_WRITES);
      return commit(...given);
    };
    if (!this.#connected) store.disconnect();
    mkdirSync(this.#folder, { recursive: true });
    const controller = new AbortController();
    const reach = { gone: false };
    const ended = runHost(
      {
        ...{ project: PROJECT, components: undefined, host: name, address: '127.0.0.1', labels: {} },
        ...{ stateDir: this.#folder, hostId: `id-of-${name}`, prefix: '/gantryd', stopOnExit: false, store },
        engine: this.#watchedEngine(reach),
        proxy: this.#watchedProxy(reach),
        emit: (event) => !reach.gone && this.#onEvent(event),
        onRunning: () => this.#input.tell(`${name} runs`),
      },
      controller.signal,
    ).catch((error: unknown) => {
      if (!reach.gone) this.#input.violated(`the agent of ${name} ended: ${(error as Error).stack}`);
    });
    this.#life = { controller, store, reach, ended };
  }

  /** In order. */
  async end(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    this.#life = undefined;
    life.controller.abort();
    await life.ended;
    await life.store.close();
  }

  /** As SIGKILL does. */
  kill(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#life = undefined;
    life.reach.gone = true;
    life.store.disconnect();
    const left = this.#folder;
    this.#lives++;
    // What it left behind is the next one's; what it still writes is nobody's.
    cpSync(left, this.#folder, { recursive: true });
    life.controller.abort();
    this.#past.push(life.ended.then(() => life.store.close()));
  }

  cut(): void {
    this.#connected = false;
    this.#life?.store.disconnect();
  }

  heal(): void {
    this.#connected = true;
    this.#life?.store.connect();
  }

  /** Answers are held back, and then lost. */
  loseAnswers(afterMs: number): void {
    const { store } = this.#life ?? {};
    if (store === undefined || !this.#connected) return;
    const held = store.hold();
    setTimeout(() => held.lose(), afterMs);
  }

  expireLeases(): void {
    this.#life?.store.expireLeases();
  }

  async close(): Promise<void> {
    await this.end();
    await Promise.all(this.#past);
  }

  record(): ComponentRecord | undefined {
    try {
      const path = join(this.#folder, 'components', PROJECT, `${COMPONENT}.json`);
      return JSON.parse(readFileSync(path, 'utf8')) as ComponentRecord;
    } catch {
      return undefined; // not written yet
    }
  }

  /** Ids of what is routed. */
  routed(): readonly string[] {
    const route = this.proxy.table(PROJECT).routes.find((r) => r.component === COMPONENT);
    return (route?.backends ?? []).map((b) => b.id);
  }

  get #folder(): string {
    return join(this.#input.folder, `${this.name}-${this.#lives}`);
  }

  #onEvent(event: AgentEvent): void {
    const { tell } = this.#input;
    const { kind } = event;
    if (event.kind === 'rollout-step') tell(`${this.name} ${event.step} ${event.generation}: ${event.why}`);
    if (event.kind === 'switched') tell(`${this.name} switched to release ${event.release}: ${event.why}`);
    if (event.kind === 'release-failed') tell(`${this.name} ${kind} ${event.release}: ${event.why}`);
    if (event.kind === 'trouble') tell(`${this.name} trouble: ${event.code} ${event.message}`);
    if (event.kind === 'trouble' && event.code === 'internal')
      this.#input.violated(`${this.name}: ${event.message}`);
  }

  #watchedEngine(reach: { gone: boolean }): Engine {
    const watched = {
      containers: () => this.#count('looks at the engine', MOST_LOOKS),
      start: (id: string) => this.#mayStart(id),
      stop: (id: string) => this.#mayEnd('stop', id),
      kill: (id: string) => this.#mayEnd('kill', id),
      remove: (id: string) => this.#mayEnd('remove', id),
    };
    return guarded(
      this.engine,
      reach,
      watched,
      new GantryError('engine-unreachable', 'gone', { retryable: true }),
    );
  }

  #watchedProxy(reach: { gone: boolean }): ProxyPort {
    const setRoute: ProxyPort['setRoute'] = async (owner, component, route, limits, options) => {
      if (component !== COMPONENT || options?.dryRun === true) {
        return this.proxy.setRoute(owner, component, route, limits, options);
      }
      const before = this.routed();
      this.#mayRoute(
        (route?.backends ?? []).map((b) => b.id),
        before,
      );
      await this.proxy.setRoute(owner, component, route, limits, options);
      if (before.length > 0 && this.routed().length === 0) this.#mayBeEmpty();
    };
    const gone = new GantryError('proxy-unreachable', 'gone', { retryable: true });
    return guarded<ProxyPort>({ ...this.proxy, setRoute } as ProxyPort, reach, {}, gone);
  }

  /** Promise (a): what serves leaves the table for nothing only when it is to stop, or when nothing lives. */
  #mayBeEmpty(): void {
    const record = this.record();
    if (record === undefined || record.status !== 'ready') return;
    const alive = Object.entries(record.marks).filter(
      ([id, m]) => m.servedAt !== undefined && m.drainSince === undefined && this.engine.runs(id),
    );
    if (alive.length > 0) {
      this.#input.violated(
        `${this.name} routes nothing, and ${alive.map(([id]) => id.slice(0, 12))} could serve`,
      );
    }
  }

  #mayEnd(call: string, id: string): void {
    if (!this.engine.runs(id) || !this.routed().includes(id)) return;
    this.#input.violated(`${this.name}: ${call} of ${id.slice(0, 12)}, which is routed`);
  }

  /** Whoever goes round in circles is quick about it. */
  #count(what: string, most: number): void {
    const now = performance.now();
    const recent = (this.#counted.get(what) ?? []).filter((at) => now - at < 1_000);
    recent.push(now);
    this.#counted.set(what, recent);
    if (recent.length === most) this.#input.violated(`${this.name}: ${most} ${what} within a second`);
  }

  #mayStart(id: string): void {
    this.#holdToTurn(this.engine.releaseOf(id), 'starts');
  }

  #mayRoute(ids: readonly string[], before: readonly string[]): void {
    for (const id of ids.filter((i) => !before.includes(i))) {
      this.#holdToTurn(this.engine.releaseOf(id), 'switches to');
    }
  }

  /** Promise (b): an unproven release goes on, where another one serves, only in this host's turn. */
  #holdToTurn(release: number, what: string): void {
    const record = this.record();
    const known = record?.releases.find((r) => r.number === release);
    if (record === undefined || known === undefined || known.proven || this.#input.isExcused()) return;
    const good = record.releases.filter((r) => r.proven && r.number !== release).map((r) => r.number);
    const isAtStake = (id: string) => this.engine.runs(id) && good.includes(this.engine.releaseOf(id));
    if (!this.routed().some(isAtStake)) return;
    const { cluster } = this.#input;
    const turns = [...cluster.list(KEYS.turns(COMPONENT)).entries].sort(
      (a, b) => a.createRevision - b.createRevision,
    );
    const place = turns.findIndex((e) => readTurn(e)?.host === this.name);
    const turn = readTurn(turns[place]);
    const lives = turn !== undefined && cluster.leases().includes(turn.lease);
    const isIn = place >= 0 && place < known.component.update.maxParallel;
    if (lives && isIn && turn.generation === record.fleet?.generation) return;
    const queue = turns.map((e) => e.key.split('/').at(-1)).join(', ');
    this.#input.violated(
      `${this.name} ${what} release ${release}, which is not proven, out of turn (queue: ${queue}; its turn: ${JSON.stringify(turn)}; record: ${JSON.stringify(record.fleet)})`,
    );
  }
}

/** What a process that is gone asks for does not happen. */
function guarded<T extends object>(
  target: T,
  reach: { readonly gone: boolean },
  checks: Readonly<Record<string, (id: string) => void>>,
  error: GantryError,
): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name);
      if (typeof value !== 'function') return value;
      if (name === 'watch' || name === 'close') return value.bind(object);
      return async (...args: unknown[]) => {
        if (reach.gone) throw error;
        checks[String(name)]?.(String(args[0]));
        const answer: unknown = await value.apply(object, args);
        if (reach.gone) throw error;
        return answer;
      };
    },
  });
}

export function imageId(image: string): string {
  return `sha256:${Buffer.from(image).toString('hex').padEnd(64, '0')}`;
}

function imageName(id: string): string {
  return Buffer.from(id.replace(/^sha256:/, '').replace(/(00)+$/, ''), 'hex').toString();
}
