/** One history: a world in trouble, then quiet, in which all must come to rest as it was wanted. */
import { diceOf } from '../campaign/dice.ts';
import { Fleet } from './fleet.ts';
import { STORM } from './odds.ts';
import { OneBox } from './one-box.ts';
import { NOTHING_BROKEN, type Sabotage } from './sabotage.ts';
import { Violation } from './schedule.ts';
import { World } from './world.ts';

/** A setting that a history takes place in. */
export interface Setting {
  /** Something happens. */
  stir(): void;
  /** Faults are over. */
  settle(): void;
  /** Why it is not yet as it is to be; undefined: it is. */
  unrest(): string | undefined;
  /** Nothing is left that should not be: throws a Violation. */
  close(): void;
}

export interface Told {
  readonly seed: number;
  readonly why: string;
  readonly story: string;
}

export interface Ran {
  readonly failed: Told | undefined;
  readonly effects: number;
  readonly connections: number;
}

/** Virtual time after which what has not come to rest never will. */
const REST_MS = 15 * 60_000;
const EVENTS_MOST = 60_000;

export function runHistory(seed: number, sabotage: Sabotage = NOTHING_BROKEN): Ran {
  const dice = diceOf(seed);
  const world = new World(dice, sabotage);
  let why: string | undefined;
  try {
    const setting = isOfFleet(seed) ? new Fleet(world) : new OneBox(world);
    storm(world, setting);
    calm(world, setting);
  } catch (error) {
    why = error instanceof Violation ? error.message : ((error as Error).stack ?? String(error));
  }
  const failed = why === undefined ? undefined : { seed, why, story: world.lastLines() };
  return { failed, effects: world.schedule.count, connections: world.promises.connections };
}

/** Every eighth history is one of a fleet, which takes longer. */
export function isOfFleet(seed: number): boolean {
  return seed % 8 === 0;
}

function storm(world: World, setting: Setting): void {
  const { schedule, dice } = world;
  const end = schedule.now + dice.of([2_000, 5_000, 12_000]);
  world.odds = dice.below(5) === 0 ? { ...STORM, effects: [] } : STORM;
  while (schedule.now < end) {
    setting.stir();
    const next = schedule.now + dice.below(1_200);
    while (schedule.now < next && schedule.step()) bound(world);
  }
}

function calm(world: World, setting: Setting): void {
  const { schedule } = world;
  world.tell('quiet returns');
  world.calm = true;
  world.odds = { effects: [], readFails: 0, hintLost: 0 };
  setting.settle();
  const end = schedule.now + REST_MS;
  for (let unrest = setting.unrest(); unrest !== undefined; unrest = setting.unrest()) {
    if (schedule.now > end) world.violated(`no rest within ${REST_MS / 1000} s: ${unrest}`);
    for (let i = 0; i < 60 && schedule.step(); i++) bound(world);
  }
  setting.close();
}

function bound(world: World): void {
  if (world.schedule.count > EVENTS_MOST) world.violated('it goes round in circles');
}
