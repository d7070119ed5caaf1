/**
 * The world of a history: hosts with an engine, a proxy, records and clients, and one way for a process to reach them.
 * Every call is an effect boundary: it may fail, be applied without an answer, hang, or be the last thing its process
 * did. What must hold is looked at after every one.
 */

import type { ContainerId } from '../../src/agent/plan/state.ts';
import { type ComponentRecord, EMPTY_RECORD } from '../../src/agent/record.ts';
import { type ErrorCode, GantryError } from '../../src/errors.ts';
import type { Dice } from '../campaign/dice.ts';
import { type Image, SimEngine } from './engine.ts';
import { NO_FAULTS, type Odds } from './odds.ts';
import { Promises } from './promises.ts';
import { SimProxy } from './proxy.ts';
import { NOTHING_BROKEN, type Sabotage } from './sabotage.ts';
import { Life, Mutex, type Proc, Schedule, Violation } from './schedule.ts';

/** Epoch milliseconds at which every history begins. */
export const BEGIN = 1_900_000_000_000;

export type Place = 'engine' | 'proxy' | 'record' | 'etcd';

export interface Call<T> {
  readonly on: Place;
  /** What it does, for the story; absent: it only looks. */
  readonly words?: string;
  readonly run: () => T;
  /** From asking to being done, and the same again to the answer; default: what the place takes. */
  readonly ms?: number;
}

/** A component as its host's disk and its operators know it. */
export interface Kept {
  record: ComponentRecord;
  version: number;
  readonly lock: Mutex;
  /** Processes that look after it, to be woken. */
  readonly pokes: Set<() => void>;
  /** Everything that was made before it may be killed. */
  killAskedAt: number;
}

const MS: Readonly<Record<Place, number>> = { engine: 8, proxy: 2, record: 4, etcd: 6 };
const UNREACHABLE: Readonly<Record<Place, ErrorCode>> = {
  engine: 'engine-unreachable',
  proxy: 'proxy-unreachable',
  record: 'state-write',
  etcd: 'cluster-unreachable',
};
/** A call that gets no answer ends at a deadline. */
const DEADLINE_MS = 5_000;
const LINES_KEPT = 60;

export class World {
  readonly schedule = new Schedule();
  readonly dice: Dice;
  readonly hosts: SimHost[] = [];
  readonly promises = new Promises(this);
  readonly sabotage: Sabotage;
  odds: Odds = NO_FAULTS;
  /** Nothing goes wrong by itself any more. */
  calm = false;
  readonly #story: string[] = [];

  constructor(dice: Dice, sabotage: Sabotage = NOTHING_BROKEN) {
    this.dice = dice;
    this.sabotage = sabotage;
  }

  get now(): number {
    return this.schedule.now;
  }

  /** True so often in a thousand times. */
  chance(permille: number): boolean {
    return permille > 0 && this.dice.below(1_000) < permille;
  }

  tell(words: string): void {
    this.#story.push(`${(this.now / 1000).toFixed(3).padStart(9)} ${words}`);
    if (this.#story.length > 2 * LINES_KEPT) this.#story.splice(0, LINES_KEPT);
  }

  violated(words: string): never {
    this.tell(`VIOLATED: ${words}`);
    throw new Violation(words);
  }

  lastLines(): string {
    return this.#story.slice(-LINES_KEPT).join('\n');
  }

  /** The only way of a process to what is outside of it. */
  *effect<T>(life: Life, host: SimHost, call: Call<T>): Proc<T> {
    const fate = this.#fate(call);
    if (call.words !== undefined) {
      this.tell(`${life.name}: ${call.words}${fate === 'done' ? '' : ` [${fate}]`}`);
    }
    const ms = call.ms ?? 1 + this.dice.below(MS[call.on]);
    // A proxy answers in the order it was asked, a file is this process's own; the others take their time.
    const ahead = call.on === 'proxy' || call.on === 'record' ? 0 : ms;
    const back = fate === 'hangs' || fate === 'hangs, done' ? DEADLINE_MS : ms;
    const isDone = fate !== 'fails' && fate !== 'hangs' && fate !== 'dies before';
    return (yield (task) => {
      if (fate === 'dies before') return this.schedule.after(0, () => host.crash(life));
      let error: unknown;
      let value: T | undefined;
      const apply = () => {
        if (!isDone || !host.reaches(call.on)) error = unreachable(call.on);
        else {
          try {
            value = call.run();
          } catch (thrown) {
            if (thrown instanceof Violation) throw thrown;
            error = thrown;
          }
          if (call.words !== undefined) this.promises.check(host);
        }
        if (fate === 'stops after') host.pause(life, this.dice.of([2_000, 30_000]));
        if (fate === 'dies after') return this.schedule.after(0, () => host.crash(life));
        if (fate !== 'done' && fate !== 'slow' && fate !== 'stops after') error = unreachable(call.on);
        this.schedule.after(back, () => (error === undefined ? task.resume(value) : task.fail(error)));
      };
      if (ahead === 0) apply();
      else this.schedule.after(fate === 'slow' ? ahead + this.dice.below(3_000) : ahead, apply);
    }) as T;
  }

  #fate(call: Call<unknown>): string {
    const { odds } = this;
    if (odds === NO_FAULTS) return 'done';
    const roll = this.dice.below(1_000);
    if (call.words === undefined) return roll < odds.readFails ? 'fails' : 'done';
    let sum = 0;
    for (const [fate, permille] of odds.effects) {
      sum += permille;
      if (roll < sum) return fate;
    }
    return 'done';
  }
}

function unreachable(place: Place): GantryError {
  return new GantryError(UNREACHABLE[place], `${place} does not answer`, { retryable: true });
}

export class SimHost {
  readonly name: string;
  readonly world: World;
  readonly engine: SimEngine;
  readonly proxy = new SimProxy();
  readonly components = new Map<string, Kept>();
  readonly lives = new Set<Life>();
  /** What health checks say may have changed. */
  readonly observers = new Set<{ flipped(id: ContainerId): void }>();
  /** Of its wall clock against the true time. */
  clockOff = 0;
  etcdReachable = true;
  onCrash: (life: Life) => void = () => undefined;

  constructor(name: string, world: World) {
    this.name = name;
    this.world = world;
    this.engine = new SimEngine({
      ...{ host: name, schedule: world.schedule, dice: world.dice },
      changed: (component) => this.changed(component),
      onEnd: (c, how) => world.promises.onEnd(this, c, how),
      onStart: (c) => world.promises.onStart(this, c),
      tell: (words) => world.tell(words),
    });
  }

  /** Epoch milliseconds by its wall clock. */
  now(): number {
    return BEGIN + this.world.now + this.clockOff;
  }

  kept(component: string): Kept {
    const known = this.components.get(component);
    if (known !== undefined) return known;
    const made = {
      record: EMPTY_RECORD,
      version: 0,
      lock: new Mutex(),
      pokes: new Set<() => void>(),
      killAskedAt: -1,
    };
    this.components.set(component, made);
    return made;
  }

  reaches(place: Place): boolean {
    if (place === 'engine') return this.engine.up;
    if (place === 'proxy') return this.proxy.up;
    return place === 'record' || this.etcdReachable;
  }

  /** Something was told of the component: hints come late, and now and then not at all. */
  changed(component: string): void {
    const { world } = this;
    if (world.chance(world.odds.hintLost)) return;
    world.schedule.after(1 + world.dice.below(10), () => {
      for (const poke of this.components.get(component)?.pokes ?? []) poke();
    });
  }

  begin(name: string): Life {
    const life = new Life(name);
    this.lives.add(life);
    return life;
  }

  /** SIGKILL. */
  crash(life: Life): void {
    if (life.dead) return;
    this.world.tell(`${life.name}: killed`);
    this.ended(life);
    this.onCrash(life);
  }

  /** SIGSTOP, and SIGCONT after a while. */
  pause(life: Life, ms: number): void {
    if (life.dead || life.stopped) return;
    this.world.tell(`! ${life.name} is stopped for ${ms} ms`);
    life.stop();
    this.world.schedule.after(ms, () => life.resume());
  }

  ended(life: Life): void {
    life.kill();
    this.lives.delete(life);
  }

  write(component: string, record: ComponentRecord): void {
    const kept = this.kept(component);
    if (record.status === 'killed') kept.killAskedAt = this.world.now;
    kept.record = record;
    kept.version++;
  }

  hasImage(image: Image): boolean {
    return this.engine.images.has(image.id);
  }
}
