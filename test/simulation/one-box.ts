/** One host without etcd: commands that come and go, and die, and monitors that heal. */
import type { Dice } from '../campaign/dice.ts';
import { begin as beginClients } from './clients.ts';
import { type Command, end, monitor, update } from './commands.ts';
import type { Fate } from './engine.ts';
import { fault, heal } from './faults.ts';
import type { Setting } from './history.ts';
import { atRest } from './rest.ts';
import { someComponent, someImage } from './shop.ts';
import { SimHost, type World } from './world.ts';

const FATES: readonly Fate[] = ['good', 'good', 'good', 'good', 'late', 'exits', 'crashes'];
/** Commands on one component at a time. */
const MOST = 3;

export class OneBox implements Setting {
  readonly #world: World;
  readonly #dice: Dice;
  readonly #host: SimHost;
  readonly #names: readonly string[];
  readonly #running = new Map<string, Command[]>();
  #images = 0;
  /** The commands after the storm, one after the other. */
  #last: (() => Command)[] = [];
  #now: Command | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#dice = world.dice;
    this.#host = new SimHost('a', world);
    world.hosts.push(this.#host);
    this.#names = this.#dice.below(3) === 0 ? ['web', 'db'] : ['web'];
    beginClients(this.#host);
    for (const name of this.#names) this.#update(name, 'good');
    if (this.#dice.below(2) === 0) this.#untilIdle();
  }

  stir(): void {
    const name = this.#dice.of(this.#names);
    const roll = this.#dice.below(100);
    if (roll < 50) fault(this.#host);
    else if (this.#busy(name) >= MOST) return;
    else if (roll < 78) this.#update(name, this.#dice.of(FATES));
    else if (roll < 83) this.#begin(name, () => end(this.#host, name, 'stopped'));
    else if (roll < 86) this.#begin(name, () => end(this.#host, name, 'killed'));
    else if (!this.#isMonitored(name)) this.#begin(name, () => monitor(this.#host, name));
  }

  /** Somebody repeats what was asked for last, and stays: once those who are left of the storm have asked. */
  settle(): void {
    heal(this.#host);
    for (const life of [...this.#host.lives]) if (this.#dice.below(2) === 0) this.#host.crash(life);
    for (const name of this.#names) {
      const { status } = this.#host.kept(name).record;
      if (status !== 'ready') this.#last.push(() => end(this.#host, name, status));
      this.#last.push(() => update(this.#host, ...this.#made(name, 'good'), false));
      this.#last.push(() => monitor(this.#host, name));
    }
  }

  unrest(): string | undefined {
    const late = [...this.#running.values()].flat().find((c) => c.mayAsk());
    if (late !== undefined) return `${late.life.name} has yet to ask`;
    const now = this.#now;
    if (now !== undefined && !now.task.done && !now.life.name.includes('monitor'))
      return `${now.life.name} runs`;
    if (now?.task.done === true && now.task.value !== 'done')
      this.#world.violated(`${now.life.name} was asked last and ends (${now.task.value})`);
    this.#now = this.#last.shift()?.();
    if (this.#now !== undefined) return `${this.#now.life.name} has begun`;
    for (const name of this.#names) {
      const why = atRest(this.#host, name, 'ready');
      if (why !== undefined) return why;
    }
    return undefined;
  }

  close(): void {
    if (this.#host.engine.foreign.size !== 1) this.#world.violated('something foreign is gone');
  }

  #update(name: string, fate: Fate): void {
    const made = this.#made(name, fate);
    const detach = this.#dice.below(4) === 0;
    this.#begin(name, () => update(this.#host, ...made, detach));
  }

  #made(name: string, fate: Fate) {
    const component = someComponent(this.#dice, name, name === 'web' ? 80 : 90);
    const image = someImage(this.#dice, `image ${++this.#images}`, fate);
    this.#host.engine.registry.set(image.id, image);
    return [component, image] as const;
  }

  #begin(name: string, run: () => Command): void {
    const running = this.#running.get(name) ?? [];
    running.push(run());
    this.#running.set(name, running);
  }

  #busy(name: string): number {
    const running = (this.#running.get(name) ?? []).filter((c) => !c.task.done && !c.life.dead);
    this.#running.set(name, running);
    return running.length;
  }

  /** Two monitors may see one container's health in two ways, and then undo what the other does. */
  #isMonitored(name: string): boolean {
    return [...this.#host.lives].some((l) => l.name.endsWith(`monitor ${name}`));
  }

  #untilIdle(): void {
    const { schedule } = this.#world;
    while (this.#names.some((name) => this.#busy(name) > 0) && schedule.step());
  }
}
