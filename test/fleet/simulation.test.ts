/**
 * Fleets at random: the promises hold through everything, and quiet brings everything to rest. GANTRYD_SEED repeats one
 * world, as far as time allows; GANTRYD_FLEETS says how many there are, GANTRYD_STORM_MS how long each is stirred.
 */
import { test } from 'node:test';
import { diceOf } from '../campaign/dice.ts';
import { simulate } from './simulation.ts';

const FLEETS = Number(process.env.GANTRYD_FLEETS ?? 4);
const STORM_MS = Number(process.env.GANTRYD_STORM_MS ?? 2_500);
/** They mostly wait. */
const SIDE_BY_SIDE = 4;

const { GANTRYD_SEED } = process.env;
const seeds =
  GANTRYD_SEED === undefined ? Array.from({ length: FLEETS }, (_, i) => i + 1) : [Number(GANTRYD_SEED)];

test('a fleet keeps its promises through faults, and comes to rest when they end', async () => {
  const left = [...seeds];
  const hand = async () => {
    for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
      await simulate(seed, { dice: diceOf(seed), stormMs: STORM_MS });
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: SIDE_BY_SIDE }, hand));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
});
