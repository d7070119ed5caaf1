/**
 * The loop over one component: look, plan, execute, look again. Watches, checks and timers only poke
 * it; what it knows it reads anew each round, so it may be killed at any instant and started again.
 *
 * What decides something (create, route, drain …) is done under the component's lock, from a look taken
 * under it. Stopping and removing what already drains needs no lock and no waiting: it runs beside the loop.
 */
import { steadyNow, untilTogether } from '../clock.ts';
import type { Engine, EngineEvent } from '../docker/engine.ts';
import { isGantryError } from '../errors.ts';
import type { Tell } from '../events.ts';
import { withLock } from '../lock.ts';
import { type Metrics, NO_METRICS } from '../metrics/metrics.ts';
import { Poke } from '../poke.ts';
import type { ProxyLimits } from '../proxy/tables/routes.ts';
import { type Executors, executors, type Round, TurnLost, tidied } from './execute.ts';
import { Observer } from './observe.ts';
import { decides, inGroups } from './plan/action.ts';
import { type Action, type Plan, plan } from './plan/plan.ts';
import type { ContainerId, Desired, Observed } from './plan/state.ts';
import type { ProxyPort } from './proxy-port.ts';
import { type ComponentRecord, desiredOf, type RecordFile } from './record.ts';
import { RoundNumbers } from './round-numbers.ts';
import type { SecretMounts } from './secret-mounts.ts';
import { Setbacks } from './setbacks.ts';

/** Looks again after this long even if nothing pokes: hints may be lost. At rest `idleResyncMs` may ask for less. */
const RESYNC_MS = 1_000;
/** However much all seems as it was, a look comes at least so often. */
const LOOK_MS = 300_000;
/** How long another command's round may hold the lock. */
const LOCK_TIMEOUT_MS = 60_000;
/** Rounds are short: who waits longer than this for another one says so. */
const LOCK_TOLD_MS = 1_000;

export interface AgentInput {
  readonly project: string;
  readonly component: string;
  readonly hostId: string;
  readonly engine: Engine;
  readonly proxy: ProxyPort;
  readonly secrets: SecretMounts;
  /** Read anew at each use. */
  readonly limits: ProxyLimits;
  readonly file: RecordFile;
  readonly tell: Tell;
  /** Run health checks and act on them. */
  readonly heal: boolean;
  /**
   * Whether a release that is not proven may be brought further: asked at each look, and again right before each
   * call that does so. Default: always. When it becomes true somebody pokes.
   */
  readonly fence?: () => boolean;
  /** Containers of the release before stay warm for as long as the new one's `update` says. Default: they leave. */
  readonly keepsOld?: boolean;
  /** Called with what each look of run() saw; must not throw. */
  readonly onRound?: (view: View) => void;
  /** Milliseconds after which a component at rest is looked at again even if nothing pokes. Default: 1000. */
  readonly idleResyncMs?: number;
  /**
   * Somebody tells when what a look goes by has changed, until the function that is answered is called: a component that
   * is as wanted is looked at only then, and once in minutes. Default: nobody does.
   */
  readonly watchRest?: (rest: Rest) => () => void;
  readonly now?: () => number;
  readonly random?: () => number;
  /** Default: nobody wants numbers. */
  readonly metrics?: Metrics | undefined;
}

/** A component, for whoever tells when it is to be looked at. */
export interface Rest {
  /** What it goes by besides engine, proxy and records. */
  readonly words: () => string;
  readonly changed: () => void;
}

/** What one look saw, and what it calls for. */
export interface View {
  readonly record: ComponentRecord;
  /** Of the record, so that it is known whether another process decided anything since. */
  readonly version: string;
  readonly desired: Desired;
  readonly observed: Observed;
  readonly plan: Plan;
}

/** Done to a container without the lock, beside the loop. */
interface Job {
  readonly kind: Action['kind'];
  readonly ended: Promise<void>;
}

export class Agent {
  readonly #input: AgentInput;
  readonly #now: () => number;
  readonly #fence: () => boolean;
  readonly #observer: Observer;
  readonly #executors: Executors;
  readonly #numbers: RoundNumbers;
  readonly #poke = new Poke();
  readonly #engineBack = new Poke();
  readonly #ended = new AbortController();
  readonly #jobs = new Map<ContainerId, Job>();
  #trouble: unknown;
  readonly #setbacks: Setbacks;
  #known: Pick<View, 'version' | 'record'> | undefined;
  #said = '';
  #followsProxy = false;

  constructor(input: AgentInput) {
    this.#input = input;
    this.#now = input.now ?? steadyNow;
    this.#fence = input.fence ?? (() => true);
    this.#numbers = new RoundNumbers(input.metrics ?? NO_METRICS, input.component);
    this.#setbacks = new Setbacks(input.random ?? Math.random);
    const shared = { ...input, now: this.#now };
    this.#observer = new Observer({ ...shared, poke: () => this.#poke.poke() });
    this.#executors = executors({
      ...shared,
      get limits() {
        return input.limits;
      },
      mayAdvance: this.#fence,
      keepsOld: input.keepsOld ?? false,
      lastVerdict: (id) => this.#observer.lastVerdict(id),
      forget: (id) => this.#observer.forget(id),
      addressOf: (id) => this.#observer.addressOf(id),
    });
  }

  /** Subscribes to the engine's hints, until close(). Call once. */
  start(): void {
    const heed = ({ kind }: EngineEvent) => {
      if (kind === 'reconnected') this.#engineBack.poke();
      this.#poke.poke();
    };
    const { signal } = this.#ended;
    this.#input.engine.watch(heed, signal);
    const rest: Rest = { words: () => this.#observer.words(), changed: () => this.#poke.poke() };
    const unwatch = this.#input.watchRest?.(rest);
    if (unwatch !== undefined) signal.addEventListener('abort', unwatch, { once: true });
  }

  /** Rounds until `reached` says so of a view; answers that view. Throws what a round throws. */
  async run(reached: (view: View) => boolean, signal: AbortSignal): Promise<View> {
    try {
      return await this.#run(reached, signal);
    } catch (error) {
      if (!signal.aborted) this.#numbers.failed();
      throw error;
    } finally {
      this.#numbers.end();
    }
  }

  async #run(reached: (view: View) => boolean, signal: AbortSignal): Promise<View> {
    this.#followProxy();
    this.#engineBack.clear();
    this.#trouble = undefined; // what failed since the last run is planned anew
    for (let imminent = false; ; ) {
      signal.throwIfAborted();
      this.#throwTrouble();
      this.#numbers.begin();
      this.#poke.clear();
      const looking = this.#see();
      // Taking the lock takes as long as looking: side by side, traffic moves to a ready container that much sooner.
      const decided = imminent && (await this.#decide(looking, signal));
      imminent = false;
      if (decided) continue;
      const view = await looking;
      if (reached(view) && this.#jobs.size === 0) return view;
      // What is still routed leaves the table before anything ends it.
      if (!view.plan.some((a) => a.kind === 'route')) this.#beginJobs(view);
      if (view.plan.some(decides)) await this.#decide(looking, signal);
      else if (!(await this.#pull(view, signal))) imminent = await this.#idle(view.plan, signal);
    }
  }

  /** Following the proxy starts it: not before there is something to do, so that a refused command leaves none. */
  #followProxy(): void {
    if (this.#followsProxy) return;
    this.#followsProxy = true;
    this.#input.proxy.watch(this.#input.project, () => this.#poke.poke(), this.#ended.signal);
  }

  async #see(): Promise<View> {
    const view = await this.look();
    this.#numbers.saw(view.observed);
    this.#input.onRound?.(view);
    return view;
  }

  /** One look. What is there may be newer than the record read before it; then it is taken again. */
  async look(): Promise<View> {
    for (;;) {
      const version = await this.#input.file.version();
      const view = await this.#lookOnce(version);
      if ((await this.#input.file.version()) === version) return view;
    }
  }

  async #lookOnce(version: string): Promise<View> {
    const record = await this.#recordOf(version);
    const { project, component, keepsOld } = this.#input;
    const desired = desiredOf(project, component, record, keepsOld);
    const observed = await this.#observer.observe(desired, record, {
      doing: new Map(Array.from(this.#jobs, ([id, { kind }]) => [id, kind])),
      ...this.#setbacks.standing,
      mayAdvance: this.#fence,
    });
    this.#setbacks.note(desired, observed.containers, observed.now);
    this.#tellMassFailure(desired, observed);
    const next = plan(desired, { ...observed, ...this.#setbacks.standing });
    return { record, version, desired, observed, plan: next };
  }

  /** Equal versions are the same record: at rest it is not read again. */
  async #recordOf(version: string): Promise<ComponentRecord> {
    if (this.#known?.version === version) return this.#known.record;
    const record = await this.#input.file.read();
    this.#known = { version, record };
    return record;
  }

  #tellMassFailure(desired: Desired, { containers }: Observed): void {
    const together = this.#input.heal ? this.#setbacks.massFailure(desired, containers) : undefined;
    if (together !== undefined) this.#input.tell({ kind: 'mass-failure', ...together });
  }

  /** Changes what is wanted, under the lock, from the record as it is then. */
  async change(
    to: (record: ComponentRecord) => ComponentRecord | Promise<ComponentRecord>,
    signal: AbortSignal,
  ) {
    await this.#locked(signal, async () => {
      await this.#input.file.write(await to(await this.#input.file.read()));
    });
    this.#poke.poke();
  }

  /** Removes the files of secrets whose containers went while nobody looked. */
  async sweep(signal: AbortSignal): Promise<void> {
    const { secrets } = this.#input;
    if (await secrets.mayHaveLeft()) await this.#locked(signal, () => secrets.sweep());
  }

  /** After a round that failed: for so long, or until the engine is back. Never throws. */
  rest(ms: number, signal: AbortSignal): Promise<void> {
    return this.#engineBack.wait(ms, signal);
  }

  /** Something that run() depends on may have changed: it looks again at once. */
  poke(): void {
    this.#poke.poke();
  }

  /** Ends watches, checks and what it waits for; containers and traffic stay as they are. */
  async close(): Promise<void> {
    this.#ended.abort();
    this.#poke.poke();
    await Promise.allSettled(Array.from(this.#jobs.values(), ({ ended }) => ended));
    await this.#observer.close();
  }

  /**
   * Executes what decides, under the lock. Whoever decides writes the record; so as long as it is the one
   * that was looked at, nobody has, and the look still holds. Otherwise it is taken anew. Answers whether there
   * was anything to decide.
   */
  async #decide(looking: Promise<View>, signal: AbortSignal): Promise<boolean> {
    looking.catch(() => undefined); // whoever awaits it first meets the error, unless the lock fails before
    return this.#locked(signal, async (held) => {
      const seen = await looking;
      const same = (await this.#input.file.version()) === seen.version;
      const view = same ? seen : await this.#see();
      const actions = view.plan.filter(decides);
      const round: Round = { record: tidied(view.record, view.observed), observed: view.observed };
      await this.#executeInOrder(actions, round, held).catch(ignoreTurnLost);
      return actions.length > 0;
    });
  }

  /** Neighbouring actions on containers run side by side, the others one after the other. */
  async #executeInOrder(actions: Plan, round: Round, signal: AbortSignal): Promise<void> {
    for (const together of inGroups(actions)) {
      signal.throwIfAborted();
      const done = await Promise.allSettled(together.map((a) => this.#execute(a, round, signal)));
      const failed = done.flatMap((d) => (d.status === 'rejected' ? [d.reason as unknown] : []));
      if (failed.length > 0) throw failed.find((e) => !(e instanceof TurnLost)) ?? failed[0];
    }
  }

  async #execute(action: Action, round: Round, signal: AbortSignal): Promise<void> {
    const executor = this.#executors[action.kind] as (a: Action, r: Round, s: AbortSignal) => Promise<void>;
    await executor(action, round, signal);
  }

  async #pull(view: View, signal: AbortSignal): Promise<boolean> {
    const pull = view.plan.find((a) => a.kind === 'pull-image');
    if (pull === undefined) return false;
    await this.#execute(pull, { record: view.record, observed: view.observed }, signal);
    return true;
  }

  /** Begins what needs no lock; it goes on beside the loop. */
  #beginJobs(view: View): void {
    const round: Round = { record: view.record, observed: view.observed };
    for (const action of view.plan) {
      if (
        'container' in action &&
        action.kind !== 'wait' &&
        action.container !== undefined &&
        !decides(action)
      ) {
        this.#begin(action, action.container, round);
      }
    }
  }

  #begin(action: Action, container: ContainerId, round: Round): void {
    if (this.#jobs.has(container)) return;
    const ended = this.#execute(action, round, this.#ended.signal)
      .catch((error: unknown) => {
        this.#trouble = error;
      })
      .finally(() => {
        this.#jobs.delete(container);
        this.#poke.poke();
      });
    this.#jobs.set(container, { kind: action.kind, ended });
  }

  /** Answers whether a hint ended it that may well have been the awaited readiness. */
  async #idle(actions: Plan, signal: AbortSignal): Promise<boolean> {
    this.#numbers.end();
    const waits = actions.filter((a) => a.kind === 'wait');
    this.#tellWaiting(waits);
    const until = Math.min(...waits.map((w) => w.until ?? Number.POSITIVE_INFINITY));
    const ms = Math.max(0, Math.min(until - this.#now(), this.#resyncMs(actions, waits)));
    const dueAt = performance.now() + ms;
    await this.#poke.wait(ms, signal);
    if (!this.#poke.poked && !signal.aborted) this.#numbers.late(dueAt);
    return this.#poke.poked && waits.some((w) => w.for === 'ready');
  }

  #resyncMs(actions: Plan, waits: readonly Extract<Action, { kind: 'wait' }>[]): number {
    if (actions.length === 0 && this.#input.watchRest !== undefined) return untilTogether(LOOK_MS);
    const isAtRest = waits.every((w) => w.for === 'warm' || w.for === 'turn');
    return isAtRest ? (this.#input.idleResyncMs ?? RESYNC_MS) : RESYNC_MS;
  }

  #tellWaiting(waits: readonly Extract<Action, { kind: 'wait' }>[]): void {
    const first = waits[0];
    const why = waits.map((w) => w.why).join('; ');
    if (first === undefined || why === this.#said) return;
    this.#said = why;
    this.#input.tell({ kind: 'waiting', for: first.for, why, until: first.until });
  }

  async #locked<T>(signal: AbortSignal, body: (held: AbortSignal) => Promise<T>): Promise<T> {
    await this.#input.file.prepare();
    let late: NodeJS.Timeout | undefined;
    const onWait = (holder: string | undefined) => {
      const who = holder === undefined ? 'another process' : `process ${holder}`;
      const why = `${who} works on ${this.#input.component}`;
      const until = this.#now() + LOCK_TIMEOUT_MS;
      late = setTimeout(() => this.#input.tell({ kind: 'waiting', for: 'lock', why, until }), LOCK_TOLD_MS);
    };
    const options = { timeoutMs: LOCK_TIMEOUT_MS, signal, onWait };
    return withLock(this.#input.file.lockPath, options, (held) => {
      clearTimeout(late);
      return body(held);
    }).finally(() => clearTimeout(late));
  }

  #throwTrouble(): void {
    const trouble = this.#trouble;
    this.#trouble = undefined;
    // A container that went by itself is what we wanted.
    if (trouble !== undefined && !isGantryError(trouble, 'container-gone')) throw trouble;
  }
}

/** The next look holds what is not to go on. */
function ignoreTurnLost(error: unknown): void {
  if (!(error instanceof TurnLost)) throw error;
}
