/**
 * A fixed rate through several fronts, by one client that asks them in turn (slices.mjs). The container stays on one
 * core for all of them, so that what is added is what lies between: at that rate nobody waits for a core long.
 */
import { LOAD_CPU, scriptPath } from './ground.mjs';
import { ask } from './load.mjs';

export const RATE = 5_000;
const CONNECTIONS = 64;
/** Of one front; what http-proxy without an agent has left to answer takes longest. */
const SLICE_MS = 300;
const COUNTED_MS = 250;
const MOST_SLICE_MS = 4_000;

/**
 * The first of `fronts` is what the others are compared with. `counted`: seconds of each front that are measured;
 * `cpu`: of the container. What fails is an answer.
 */
export async function measureFixed(ground, fronts, place, { counted, cpu = LOAD_CPU, say }) {
  for (const pid of ground.backends) ground.move(pid, cpu);
  ground.forget();
  const asked = fronts.map((front) => ({ name: front.name, host: front.hostFor(place), port: front.port }));
  const pids = [...new Set([...ground.backends, ...fronts.map(({ pid }) => pid)])];
  const cycles = Math.max(4, Math.ceil((counted * 1_000) / COUNTED_MS));
  const words = JSON.stringify({ fronts: asked, connections: CONNECTIONS, rate: RATE, cycles, pids });
  const command = [...ground.at(place), process.execPath, scriptPath('slices.mjs'), words];
  const seconds = ((cycles + 1) * fronts.length * MOST_SLICE_MS) / 1_000;
  say(
    `${RATE} requests/s, ${cycles} times around, about ${Math.ceil((cycles * fronts.length * SLICE_MS) / 1_000)} s`,
  );
  const told = await ask(command, seconds).catch(({ message }) => ({ failure: message.trim().slice(-200) }));
  if (told.failure !== undefined) say(`${RATE} requests/s: ${told.failure}`);
  for (const { front, failure } of told.fronts ?? []) if (failure !== undefined) say(`${front}: ${failure}`);
  return { place, ...told };
}
