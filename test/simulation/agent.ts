/**
 * Mirrors src/agent/agent.ts: the loop over one component. Plan, record, groups, setbacks are the real ones; what is
 * awaited there is yielded here, in the same order.
 */

import type { View } from '../../src/agent/agent.ts';
import { type Round, TurnLost, tidied } from '../../src/agent/execute.ts';
import { type Action, decides, inGroups } from '../../src/agent/plan/action.ts';
import type { Plan } from '../../src/agent/plan/plan.ts';
import type { ContainerId, Observed } from '../../src/agent/plan/state.ts';
import { type ComponentRecord, desiredOf } from '../../src/agent/record.ts';
import { Setbacks } from '../../src/agent/setbacks.ts';
import { isGantryError } from '../../src/errors.ts';
import { type Executing, SimExecutors } from './executors.ts';
import { SimObserver } from './observer.ts';
import { join, type Life, Poke, type Proc, pause, settled, type Task } from './schedule.ts';
import type { Kept, SimHost } from './world.ts';

const RESYNC_MS = 1_000;
const TROUBLE_PAUSE_MS = 2_000;

export interface SimView extends View {
  /** True time when the look began. */
  readonly lookedAt: number;
}

/** At once, or after asking somebody. */
export type Changed = ComponentRecord | Proc<ComponentRecord>;

export interface SimAgentInput {
  readonly host: SimHost;
  readonly life: Life;
  readonly project: string;
  readonly component: string;
  readonly heal: boolean;
  readonly keepsOld?: boolean;
  readonly fence?: () => boolean;
  readonly onRound?: (view: SimView) => void;
  readonly idleResyncMs?: number;
}

export class SimAgent {
  readonly #input: SimAgentInput;
  readonly #kept: Kept;
  readonly #observer: SimObserver;
  readonly #executors: SimExecutors;
  readonly #poke: Poke;
  readonly #jobs = new Map<ContainerId, { readonly kind: Action['kind']; readonly task: Task }>();
  readonly #setbacks: Setbacks;
  readonly #wake = () => this.#input.life.deliver(() => this.#poke.poke());
  #trouble: unknown;

  constructor(input: SimAgentInput) {
    this.#input = input;
    const { host, life, component } = input;
    const { world } = host;
    this.#kept = host.kept(component);
    this.#poke = new Poke(world.schedule);
    this.#setbacks = new Setbacks(() => world.dice.below(1_000) / 1_000);
    this.#observer = new SimObserver({ ...{ host, life, component, heal: input.heal }, poke: this.#wake });
    this.#executors = new SimExecutors({
      ...{ host, life, component, observer: this.#observer },
      mayAdvance: () => this.#fence(),
      keepsOld: input.keepsOld ?? false,
    });
    this.#kept.pokes.add(this.#wake);
  }

  /** As Agent.run(). */
  *run(reached: (view: SimView) => boolean): Proc<SimView> {
    const { life } = this.#input;
    for (let imminent = false; ; ) {
      this.#throwTrouble();
      this.#poke.clear();
      const looking = life.fork(this.#see());
      const decided = imminent && (yield* this.#decide(looking));
      imminent = false;
      if (decided) continue;
      const view = yield* join(looking);
      if (reached(view) && this.#jobs.size === 0) return view;
      const isFree =
        this.#input.host.world.sabotage.jobsFirst === true || !view.plan.some((a) => a.kind === 'route');
      if (isFree) this.#beginJobs(view);
      if (view.plan.some(decides)) yield* this.#decide(looking);
      else if (!(yield* this.#pull(view))) imminent = yield* this.#idle(view.plan);
    }
  }

  /** Mirrors stay() of src/agent/stay.ts. */
  *stay(reached: (view: SimView) => boolean): Proc<SimView> {
    for (;;) {
      try {
        return yield* this.run(reached);
      } catch (error) {
        if (!isGantryError(error) || error.code === 'internal') throw error;
        yield* pause(this.#input.host.world.schedule, TROUBLE_PAUSE_MS);
      }
    }
  }

  *look(): Proc<SimView> {
    for (;;) {
      const { version } = this.#kept;
      const view = yield* this.#lookOnce(version);
      if (this.#kept.version === version) return view;
    }
  }

  /** As Agent.change(). */
  *change(to: (record: ComponentRecord) => Changed, words: string): Proc {
    const { life } = this.#input;
    const { lock } = this.#kept;
    yield* lock.lock(life);
    try {
      const changed = to(this.#kept.record);
      const record = 'format' in changed ? changed : yield* changed;
      yield* this.#executors.write(record, words);
    } finally {
      lock.release(life);
    }
    this.#poke.poke();
  }

  poke(): void {
    this.#poke.poke();
  }

  *close(): Proc {
    for (const { task } of this.#jobs.values()) yield* settled(task);
    this.forget();
  }

  /** The process is gone. */
  forget(): void {
    this.#kept.pokes.delete(this.#wake);
    this.#observer.close();
  }

  #fence(): boolean {
    return this.#input.fence?.() ?? true;
  }

  *#see(): Proc<SimView> {
    const view = yield* this.look();
    this.#input.onRound?.(view);
    return view;
  }

  *#lookOnce(version: number): Proc<SimView> {
    const { host, project, component, keepsOld = false } = this.#input;
    const { record } = this.#kept;
    const lookedAt = host.world.now;
    const desired = desiredOf(project, component, record, keepsOld);
    const observed = yield* this.#observer.observe(desired, record, {
      doing: new Map(Array.from(this.#jobs, ([id, { kind }]) => [id, kind])),
      ...this.#setbacks.standing,
      mayAdvance: () => this.#fence(),
    });
    this.#setbacks.note(desired, observed.containers, host.now());
    const now: Observed = { ...observed, ...this.#setbacks.standing };
    const plan = host.world.sabotage.plan(desired, now);
    return { record, version: String(version), desired, observed, plan, lookedAt };
  }

  *#decide(looking: Task<SimView>): Proc<boolean> {
    const { lock } = this.#kept;
    const { life } = this.#input;
    yield* lock.lock(life);
    try {
      const seen = yield* join(looking);
      const view = String(this.#kept.version) === seen.version ? seen : yield* this.#see();
      const actions = view.plan.filter(decides);
      const round: Round = { record: tidied(view.record, view.observed), observed: view.observed };
      yield* this.#executeInOrder(actions, { round, view });
      return actions.length > 0;
    } catch (error) {
      if (!(error instanceof TurnLost)) throw error;
      return true;
    } finally {
      lock.release(life);
    }
  }

  *#executeInOrder(actions: Plan, on: Executing): Proc {
    for (const together of inGroups(actions)) {
      const tasks = together.map((a) => this.#input.life.fork(this.#executors.execute(a, on)));
      for (const task of tasks) yield* settled(task as Task);
      const failed = tasks.flatMap((t) => (t.failed ? [t.error] : []));
      if (failed.length > 0) throw failed.find((e) => !(e instanceof TurnLost)) ?? failed[0];
    }
  }

  *#pull(view: SimView): Proc<boolean> {
    const pull = view.plan.find((a) => a.kind === 'pull-image');
    if (pull === undefined) return false;
    yield* this.#executors.execute(pull, { round: { record: view.record, observed: view.observed }, view });
    return true;
  }

  #beginJobs(view: SimView): void {
    const round: Round = { record: view.record, observed: view.observed };
    for (const action of view.plan) {
      if (!('container' in action) || action.kind === 'wait' || decides(action)) continue;
      const { container } = action;
      if (this.#jobs.has(container)) continue;
      const task = this.#input.life.fork(this.#executors.execute(action, { round, view })) as Task;
      this.#jobs.set(container, { kind: action.kind, task });
      task.whenDone(() => {
        if (task.failed) this.#trouble = task.error;
        this.#jobs.delete(container);
        this.#poke.poke();
      });
      if (task.done) this.#jobs.delete(container);
    }
  }

  *#idle(actions: Plan): Proc<boolean> {
    const waits = actions.flatMap((a) => (a.kind === 'wait' ? [a] : []));
    const until = Math.min(...waits.map((w) => w.until ?? Number.POSITIVE_INFINITY));
    const atRest = waits.every((w) => w.for === 'warm' || w.for === 'turn');
    const resyncMs = atRest ? (this.#input.idleResyncMs ?? RESYNC_MS) : RESYNC_MS;
    yield* this.#poke.wait(Math.max(0, Math.min(until - this.#input.host.now(), resyncMs)));
    return this.#poke.poked && waits.some((w) => w.for === 'ready');
  }

  #throwTrouble(): void {
    const trouble = this.#trouble;
    this.#trouble = undefined;
    if (trouble !== undefined && !isGantryError(trouble, 'container-gone')) throw trouble;
  }
}
