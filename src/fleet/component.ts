/**
 * One component of the fleet on this host: joins what etcd wants (rollout.ts), the loop that keeps the host as its
 * record says (agent/agent.ts), and what the fleet is told. All it decides goes through the record, so that it may be
 * killed at any instant, and may lose etcd for as long as it likes.
 */
import { Agent, type View } from '../agent/agent.ts';
import type { ObservedContainer } from '../agent/plan/state.ts';
import { type RecordFile, recordFile } from '../agent/record.ts';
import { instancesOf } from '../agent/scale.ts';
import { secretMounts } from '../agent/secret-mounts.ts';
import { stay, troubleOf } from '../agent/stay.ts';
import { untilTogether } from '../clock.ts';
import type { StatusValue } from '../cluster/values.ts';
import { completed } from '../config/normalise.ts';
import type { AgentEvent, Tell } from '../events.ts';
import { Poke } from '../poke.ts';
import type { ProxyLimits } from '../proxy/tables/routes.ts';
import { tellOffers } from './offers.ts';
import { LOGS_EVERY_MS, PostMortem, pendingIn } from './post-mortem.ts';
import { type Here, mayAdvance, nextStep, type Step, type Wanted } from './rollout.ts';
import { SharesKeeper, type Sharing } from './scale/shares-keeper.ts';
import { isNews, statusOf } from './status.ts';
import { type Steps, serves, steps } from './steps.ts';
import type { Surroundings } from './surroundings.ts';

/** Looks again after this long even if nothing pokes. */
const RESYNC_MS = 30_000;
/** The same where nothing is asked for that is not done. */
const SETTLED_RESYNC_MS = 300_000;
/** After a round that failed: the first time, and at most. */
const TROUBLE_PAUSE_MS = 1_000;
const TROUBLE_PAUSE_MAX_MS = 30_000;
/** Of the loop over the host while it waits for a turn or keeps containers warm; engine, proxy, checks and etcd poke it. */
const AGENT_RESYNC_MS = 10_000;
const LEAVES: Step = { kind: 'wait', for: 'drain', why: 'its agent ends and takes along what runs here' };

export class FleetComponent {
  readonly name: string;
  readonly #around: Surroundings;
  readonly #file: RecordFile;
  readonly #agent: Agent;
  readonly #steps: Steps;
  readonly #shares: SharesKeeper;
  readonly #poke = new Poke();
  readonly #ended = new AbortController();
  readonly #postMortem: PostMortem;
  #view: View | undefined;
  #could = false;
  #leaves = false;
  /** The desired value that releases and preparation are of. */
  #wants = '';
  /** The highest numbers that etcd has told of. */
  #known = { release: 0, generation: 0 };
  /** Rounds in a row. */
  #failures = 0;
  /** The last of them failed at etcd, which the agent's own rounds do without. */
  #lacksEtcd = false;
  #digest = '';
  #lastStep: Step | undefined;
  #said = '';
  #trouble: string | undefined;
  #status: StatusValue | undefined;
  #told: readonly unknown[] = [];
  #loops: Promise<unknown> = Promise.resolve();

  constructor(name: string, around: Surroundings) {
    this.name = name;
    this.#around = around;
    const { project, hostId, engine, proxy, stateDir, now } = around;
    this.#file = recordFile(stateDir, project, name);
    this.#postMortem = new PostMortem(engine);
    const tell: Tell = (fact) => this.#tell({ ...fact, component: name, at: now() });
    const limits = () => this.#limits();
    const shared = { project, component: name, hostId, engine };
    const secrets = secretMounts({ ...shared, stateDir, port: around.secrets });
    this.#agent = new Agent({
      ...{ ...shared, proxy, secrets, file: this.#file, tell, now },
      get limits() {
        return limits();
      },
      heal: true,
      keepsOld: true,
      metrics: around.metrics,
      get idleResyncMs() {
        return untilTogether(AGENT_RESYNC_MS);
      },
      watchRest: (rest) => around.glances.watch(name, rest),
      fence: () => this.#mayAdvance(),
      onRound: (view) => this.#onRound(view),
    });
    this.#shares = new SharesKeeper(name, around);
    this.#steps = steps({
      ...{ around, name, agent: this.#agent, tell },
      poke: () => this.#poke.poke(),
      publish: (view, step) => this.#publish(view, step),
    });
  }

  /** Part of a total runs here. */
  get hasShare(): boolean {
    if (this.#view === undefined) return false;
    const { desired, record, observed } = this.#view;
    if (desired.status !== 'ready' || desired.release === undefined || !serves(observed)) return false;
    return typeof (record.scale?.instances ?? instancesOf(desired.release.component)) === 'object';
  }

  /** Heals from the first moment; heeds the fleet once etcd has `answered`, or has not for a while. */
  start(answered: Promise<void>): void {
    const { signal } = this.#ended;
    this.#agent.start();
    const told = { tell: (fact: Parameters<Tell>[0]) => this.#tellTrouble(fact), now: this.#around.now };
    const swept = this.#agent.sweep(signal).catch((error: unknown) => this.#onTrouble(error));
    const healing = stay(this.#agent, () => false, told, signal);
    this.#loops = Promise.allSettled([swept, healing, answered.then(() => this.#loop(signal))]);
  }

  /** Something that concerns the component may have changed in etcd. */
  poke(): void {
    this.#poke.poke();
  }

  /** Tells again how it is, if that may be another than was told. `changed`: what changes all the time has. */
  refresh(changed: boolean): void {
    const isTold = this.#tellable().every((part, at) => part === this.#told[at]);
    if (isTold && !changed) return;
    if (this.#view !== undefined && this.#lastStep !== undefined) this.#publish(this.#view, this.#lastStep);
  }

  /** What is told is made of, but for what changes all the time. */
  #tellable(): readonly unknown[] {
    const { logs, died } = this.#postMortem;
    return [this.#view, this.#lastStep, this.#trouble, this.#known, logs, died];
  }

  /** Follows the fleet no more, and offers nothing to other hosts; all serves on. */
  async beginLeaving(): Promise<void> {
    // Whoever follows the fleet would bring back at once what leaves.
    await this.#endLoops();
    this.#leaves = true;
    if (this.#view !== undefined) this.#publish(this.#view, LEAVES);
  }

  /** After that: drains and removes what runs here, whatever the fleet wants; the next start brings it back. */
  leave(signal: AbortSignal): Promise<void> {
    return this.#steps.leave(signal);
  }

  /** Containers and traffic stay as they are. */
  async close(): Promise<void> {
    await this.#endLoops();
    await this.#steps.close();
    await this.#agent.close();
  }

  async #endLoops(): Promise<void> {
    this.#ended.abort();
    this.#poke.poke();
    await this.#loops;
  }

  async #loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#poke.clear();
      const restMs = await this.#round(signal).catch((error: unknown) => this.#onTrouble(error));
      await this.#poke.wait(restMs, signal);
    }
  }

  /** One look and one step; answers for how long it may rest. */
  async #round(signal: AbortSignal): Promise<number> {
    const view = await this.#look();
    this.#noteWanted(this.#wanted());
    const wanted = this.#wanted();
    const here = await this.#here(view);
    const step = nextStep(wanted, here);
    this.#tellStep(step, wanted);
    if (step.kind === 'prepare') this.#postMortem.forget();
    if (step.kind === 'fail') await this.#postMortem.askRemains(view);
    await this.#postMortem.askLogs(view, step, here.now);
    this.#publish(view, step);
    this.#pokeIfFreed();
    const restMs = await this.#steps.execute(
      step,
      { wanted, here, view, ...this.#postMortem.remains },
      signal,
    );
    const decidesMs = await this.#shares.round(wanted, sharingOf(view, wanted, here));
    this.#trouble = undefined;
    this.#failures = 0;
    const isSettled = step.kind === 'wait' && step.for === 'intent';
    const resyncMs = untilTogether(isSettled ? SETTLED_RESYNC_MS : RESYNC_MS);
    return Math.min(restMs, decidesMs, pendingIn(view) === undefined ? resyncMs : LOGS_EVERY_MS);
  }

  /** The agent's own last look, unless the record has changed since. */
  async #look(): Promise<View> {
    const known = this.#view;
    if (known !== undefined && known.version === (await this.#file.version())) return known;
    const view = await this.#agent.look();
    this.#view = view;
    return view;
  }

  #wanted(): Wanted {
    return this.#around.wanted(this.name, (number) => this.#steps.release(number));
  }

  /** Numbers alone tell no two changes apart: an etcd that was restored may give them out twice. */
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

  async #here(view: View): Promise<Here> {
    const { desired, observed, record } = view;
    const release = desired.release;
    const routed = observed.containers.filter((c) => c.routed);
    const full = routed.filter((c) => c.release === record.release).length;
    const gone = observed.containers.length === 0 && observed.listeners.length === 0;
    return {
      host: this.#around.host,
      now: this.#around.now(),
      lease: this.#around.session.lease(),
      memory: record.fleet,
      scale: record.scale,
      status: record.status,
      release: record.release,
      proven: release?.proven === true,
      returns: desired.previous !== undefined,
      serves: serves(observed),
      trying: view.plan.find((a) => a.kind === 'wait' && a.for === 'canary')?.why,
      hasNone: release?.component.instances === 0,
      arrived: record.status === 'ready' ? full >= (release?.component.instances ?? 1) : gone,
      failing: this.#postMortem.failing(view),
      reason: record.reason,
      preparation: this.#steps.preparation(),
    };
  }

  #onRound(view: View): void {
    this.#view = view;
    if (this.#leaves) this.#publish(view, LEAVES);
    this.#postMortem.noteRound(view);
    const digest = JSON.stringify([view.version, view.observed.containers.map(essence)]);
    // A round that failed may go through as soon as the agent's own do, unless it failed at what those do without.
    if (digest === this.#digest && (this.#failures === 0 || this.#lacksEtcd)) return;
    this.#digest = digest;
    this.#poke.poke();
  }

  #mayAdvance(): boolean {
    const { host, session } = this.#around;
    const returns = this.#view === undefined || this.#view.desired.previous !== undefined;
    const generation = this.#view?.record.fleet?.generation;
    return mayAdvance(this.#wanted(), { host, lease: session.lease(), returns, generation });
  }

  /** The agent's loop asks the fence only when it looks. */
  #pokeIfFreed(): void {
    const may = this.#mayAdvance();
    if (may && !this.#could) this.#agent.poke();
    this.#could = may;
  }

  #limits(): ProxyLimits {
    const release = this.#view?.record.release;
    const known = release === undefined ? undefined : this.#steps.release(release);
    return known?.limits ?? this.#around.limits();
  }

  #tell(event: AgentEvent): void {
    this.#postMortem.noteEvent(event);
    this.#around.emit(event);
  }

  #tellTrouble(fact: Parameters<Tell>[0]): void {
    if (fact.kind === 'trouble') this.#trouble = fact.message;
    this.#tell({ ...fact, component: this.name, at: this.#around.now() });
  }

  #onTrouble(error: unknown): number {
    const trouble = troubleOf(error);
    if (trouble.message !== this.#trouble) this.#tellTrouble(trouble);
    this.#lacksEtcd = trouble.code.startsWith('cluster-');
    return Math.min(TROUBLE_PAUSE_MS * 2 ** this.#failures++, TROUBLE_PAUSE_MAX_MS);
  }

  #tellStep(step: Step, { desired }: Wanted): void {
    const said = `${step.kind} ${step.why}`;
    this.#lastStep = step;
    if (said === this.#said) return;
    this.#said = said;
    const at = this.#around.now();
    const { component, release, generation } = {
      component: this.name,
      release: desired?.value.release,
      generation: desired?.value.generation,
    };
    if (step.kind !== 'wait') {
      this.#tell({
        kind: 'rollout-step',
        step: step.kind,
        release,
        generation,
        why: step.why,
        component,
        at,
      });
    } else if (step.why !== '') {
      this.#tell({ kind: 'waiting', for: step.for, why: step.why, until: step.until, component, at });
    }
  }

  #publish(view: View, step: Step): void {
    const { host, keys, leased, connections } = this.#around;
    this.#told = this.#tellable();
    const status = statusOf({
      ...{
        host,
        view,
        step,
        trouble: this.#trouble,
        logs: this.#postMortem.logs,
        died: this.#postMortem.died,
      },
      connections: connections(),
      known: this.#known,
      before: this.#status,
    });
    const news = isNews(this.#status, status);
    this.#status = status;
    leased.put(keys.status(this.name, host), status, { news });
    tellOffers(view, this.#around, this.#leaves);
  }
}

function sharingOf({ desired: { release } }: View, wanted: Wanted, here: Here): Sharing {
  const isDesired = release !== undefined && release.number === wanted.desired?.value.release;
  const known = isDesired ? release.component : undefined;
  const { instances } = release?.component ?? {};
  return {
    memory: here.scale,
    generation: here.memory?.generation ?? 0,
    isAt: here.status === 'ready' && isDesired,
    spec: wanted.release === undefined ? known : completed(wanted.release.spec),
    arrivedAt: here.status === 'ready' && here.proven && here.arrived ? instances : undefined,
  };
}

function essence(c: ObservedContainer): readonly unknown[] {
  return [c.id, c.state, c.readiness, c.health, c.routed, c.drain !== undefined, c.busy];
}
