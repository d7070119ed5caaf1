/**
 * Fleets at random: the promises hold through everything, and quiet brings everything to rest. GANTRYD_SEED repeats one
 * world, as far as time allows, or begins with it; GANTRYD_FLEETS says how many there are, GANTRYD_STORM_MS how long
 * each is stirred. As a campaign: `GANTRYD_FLEETS=100 GANTRYD_STORM_MS=8000 node --test dist/test/fleet/simulation/simulation.test.js`.
 */
import { test } from 'node:test';
import { diceOf } from '../../campaign/dice.ts';
import { simulate } from './simulation.ts';

const { GANTRYD_SEED } = process.env;
const FIRST = Number(GANTRYD_SEED ?? 1);
const FLEETS = Number(process.env.GANTRYD_FLEETS ?? (GANTRYD_SEED === undefined ? 4 : 1));
const STORM_MS = Number(process.env.GANTRYD_STORM_MS ?? 2_500);
/** They mostly wait. */
const SIDE_BY_SIDE = 4;

test('a fleet keeps its promises through faults, and comes to rest when they end', async () => {
  const left = Array.from({ length: FLEETS }, (_, i) => FIRST + i);
  const hand = async () => {
    for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
      await simulate(seed, { dice: diceOf(seed), stormMs: STORM_MS });
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: SIDE_BY_SIDE }, hand));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
});
