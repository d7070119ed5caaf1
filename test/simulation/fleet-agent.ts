/**
 * Mirrors src/fleet/host.ts and component.ts: one process of a host that follows the fleet, and the component it runs.
 * What is wanted, the next step and what is told of it are the real ones.
 */
import { keys as keysOf } from '../../src/cluster/keys.ts';
import type { StatusValue } from '../../src/cluster/values.ts';
import { isGantryError } from '../../src/errors.ts';
import { FollowedIndex } from '../../src/fleet/looks/followed-index.ts';
import { PostMortem, pendingIn } from '../../src/fleet/post-mortem.ts';
import type { Here, Step, Wanted } from '../../src/fleet/rollout.ts';
import { isNews, statusOf } from '../../src/fleet/status.ts';
import { serves } from '../../src/fleet/steps.ts';
import { wantedOf } from '../../src/fleet/wanted.ts';
import { SimAgent, type SimView } from './agent.ts';
import { type SimEtcd, SimMirror } from './etcd.ts';
import { type Life, Poke, type Proc, pause } from './schedule.ts';
import { SimLeased, SimSession } from './session.ts';
import { PROJECT } from './shop.ts';
import { SimSteps } from './steps.ts';
import type { SimHost } from './world.ts';

const RESYNC_MS = 30_000;
const LOGS_EVERY_MS = 2_000;
const TROUBLE_PAUSE_MS = 1_000;
const TROUBLE_PAUSE_MAX_MS = 30_000;
const AGENT_RESYNC_MS = 10_000;
const FIRST_ANSWER_MS = 3_000;
const NO_ENGINE = undefined as unknown as ConstructorParameters<typeof PostMortem>[0];

const ALL_KEYS = keysOf();
export const KEYS = ALL_KEYS.project(PROJECT);

/** `gantryd run` on the host. */
export class FleetAgent {
  readonly life: Life;
  readonly #host: SimHost;
  readonly #name: string;
  readonly #index = new FollowedIndex(ALL_KEYS, PROJECT);
  readonly #session: SimSession;
  readonly #leased: SimLeased;
  readonly #mirror: SimMirror;
  readonly #agent: SimAgent;
  readonly #steps: SimSteps;
  readonly #poke: Poke;
  readonly #postMortem = new PostMortem(NO_ENGINE);
  #begun = false;
  #answered = false;
  #view: SimView | undefined;
  #could = false;
  #wants = '';
  #known = { release: 0, generation: 0 };
  #failures = 0;
  #digest = '';
  #trouble: string | undefined;
  #status: StatusValue | undefined;

  constructor(host: SimHost, etcd: SimEtcd, component: string) {
    this.#host = host;
    this.#name = component;
    this.life = host.begin(`${host.name} agent`);
    const { life } = this;
    this.#poke = new Poke(host.world.schedule);
    this.#session = new SimSession(host, life, etcd, () => this.#onLease());
    this.#leased = new SimLeased(host, life, etcd, this.#session);
    this.#mirror = new SimMirror(etcd, host, life, KEYS.followed(), (changed) => this.#onChange(changed));
    this.#agent = new SimAgent({
      ...{ host, life, project: PROJECT, component, heal: true, keepsOld: true },
      ...{ idleResyncMs: AGENT_RESYNC_MS, fence: () => this.#mayAdvance() },
      onRound: (view) => this.#onRound(view),
    });
    this.#steps = new SimSteps({
      ...{ host, life, component, keys: KEYS, etcd, session: this.#session, leased: this.#leased },
      agent: this.#agent,
      poke: () => this.#poke.poke(),
      publish: (view, step) => this.#publish(view, step),
    });
    life.fork(this.#run());
  }

  /** The process is gone. */
  forget(): void {
    this.#mirror.close();
    this.#agent.forget();
  }

  /** Its line to etcd was cut, or is there again. */
  lineChanged(): void {
    if (this.#host.etcdReachable) this.#mirror.reachable();
    else this.#mirror.cut();
  }

  /** FleetHost.run() */
  *#run(): Proc {
    const { world } = this.#host;
    if (this.#host.kept(this.#name).record.fleet !== undefined) this.#begin();
    const until = world.now + FIRST_ANSWER_MS;
    const isThere = () => this.#mirror.current && this.#session.lease() !== undefined;
    while (!isThere() && world.now < until) yield* pause(world.schedule, 20);
    this.#answered = true;
    this.#begin();
    this.life.fork(this.#leased.run());
    yield* this.#loop();
  }

  /** FleetComponent.start() */
  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.life.fork(this.#agent.stay(() => false)).whenDone(() => {
      this.#host.world.violated(`the loop of ${this.life.name} ended`);
    });
  }

  #onChange(changed?: readonly string[]): void {
    this.#index.apply(this.#mirror.entries, changed);
    if (this.#answered) this.#poke.poke();
  }

  #onLease(): void {
    this.#leased?.leaseChanged();
    this.#poke.poke();
  }

  *#loop(): Proc {
    for (;;) {
      this.#poke.clear();
      let restMs: number;
      try {
        restMs = yield* this.#round();
      } catch (error) {
        if (!isGantryError(error) || error.code === 'internal') throw error;
        this.#trouble = error.message;
        restMs = Math.min(TROUBLE_PAUSE_MS * 2 ** this.#failures++, TROUBLE_PAUSE_MAX_MS);
      }
      yield* this.#poke.wait(restMs);
    }
  }

  *#round(): Proc<number> {
    const view = yield* this.#look();
    this.#noteWanted(this.#wanted());
    const wanted = this.#wanted();
    const here = this.#here(view);
    const step = this.#host.world.sabotage.nextStep(wanted, here);
    if (step.kind === 'prepare') this.#postMortem.forget();
    this.#publish(view, step);
    this.#pokeIfFreed();
    const restMs = yield* this.#steps.execute(step, { wanted, here, view });
    this.#trouble = undefined;
    this.#failures = 0;
    return Math.min(restMs, pendingIn(view) === undefined ? RESYNC_MS : LOGS_EVERY_MS);
  }

  *#look(): Proc<SimView> {
    const known = this.#view;
    if (known !== undefined && known.version === String(this.#host.kept(this.#name).version)) return known;
    const view = yield* this.#agent.look();
    this.#view = view;
    return view;
  }

  #wanted(): Wanted {
    const turns = this.#index.turns(this.#name);
    return wantedOf(this.#mirror, KEYS, this.#name, turns, (number) => this.#steps.release(number));
  }

  #noteWanted({ desired }: Wanted): void {
    if (desired === undefined) return;
    const { generation, release } = desired.value;
    const text = JSON.stringify(desired.value);
    if (text === this.#wants) return;
    this.#wants = text;
    this.#steps.forget();
    this.#known = {
      release: Math.max(release, this.#known.release),
      generation: Math.max(generation, this.#known.generation),
    };
  }

  #here(view: SimView): Here {
    const { desired, observed, record } = view;
    const { release } = desired;
    const routed = observed.containers.filter((c) => c.routed);
    const full = routed.filter((c) => c.release === record.release).length;
    const gone = observed.containers.length === 0 && observed.listeners.length === 0;
    return {
      host: this.#host.name,
      now: this.#host.now(),
      lease: this.#session.lease(),
      memory: record.fleet,
      scale: record.scale,
      hasNone: release?.component.instances === 0,
      status: record.status,
      release: record.release,
      proven: release?.proven === true,
      returns: desired.previous !== undefined,
      serves: serves(observed),
      arrived: record.status === 'ready' ? full >= (release?.component.instances ?? 1) : gone,
      failing: this.#postMortem.failing(view),
      reason: record.reason,
      preparation: this.#steps.preparation,
    };
  }

  #onRound(view: SimView): void {
    this.#view = view;
    this.#postMortem.noteRound(view);
    const essence = view.observed.containers.map((c) =>
      [c.id, c.state, c.readiness, c.health, c.routed, c.drain !== undefined, c.busy].join(),
    );
    const digest = `${view.version} ${essence}`;
    if (digest === this.#digest && this.#failures === 0) return;
    this.#digest = digest;
    this.#poke.poke();
  }

  #mayAdvance(): boolean {
    const returns = this.#view === undefined || this.#view.desired.previous !== undefined;
    const generation = this.#view?.record.fleet?.generation;
    const by = { host: this.#host.name, lease: this.#session.lease(), returns, generation };
    return this.#host.world.sabotage.mayAdvance(this.#wanted(), by);
  }

  #pokeIfFreed(): void {
    const may = this.#mayAdvance();
    if (may && !this.#could) this.#agent.poke();
    this.#could = may;
  }

  #publish(view: SimView, step: Step): void {
    const status = statusOf({
      ...{ host: this.#host.name, view, step, trouble: this.#trouble, logs: [], died: undefined },
      connections: new Map(),
      known: this.#known,
      before: this.#status,
    });
    const news = isNews(this.#status, status);
    this.#status = status;
    this.#leased.put(KEYS.status(this.#name, this.#host.name), status, news);
  }
}
