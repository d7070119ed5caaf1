/**
 * The simulation as a command: `node dist/test/simulation/run.js [--seed N] [--histories N]`. Histories N, N + 1, …;
 * the first that fails is told with its seed, and alone it replays exactly.
 */
import { parseArgs } from 'node:util';
import { runHistory, type Told } from './history.ts';
import { NOTHING_BROKEN, type Sabotage } from './sabotage.ts';

/** As a run in CI has them, unless told otherwise. */
export const HISTORIES = Number(process.env.GANTRYD_HISTORIES ?? 10_000);
export const SEED = Number(process.env.GANTRYD_SEED ?? 1);

const STACK_LINES = 3;

export interface Sum {
  readonly histories: number;
  readonly effects: number;
  readonly connections: number;
  readonly failed: Told | undefined;
}

/** Until one fails. `only`: the seeds that are not left out. */
export function simulate(
  first: number,
  histories: number,
  sabotage: Sabotage = NOTHING_BROKEN,
  only: (seed: number) => boolean = () => true,
): Sum {
  // Errors are part of the game here, and nobody reads where they were made.
  Error.stackTraceLimit = STACK_LINES;
  let effects = 0;
  let connections = 0;
  for (let i = 0; i < histories; i++) {
    if (!only(first + i)) continue;
    const ran = runHistory(first + i, sabotage);
    effects += ran.effects;
    connections += ran.connections;
    if (ran.failed !== undefined) return { histories: i + 1, effects, connections, failed: ran.failed };
  }
  return { histories, effects, connections, failed: undefined };
}

export function words({ seed, why, story }: Told): string {
  return `${story}\n\nhistory ${seed}: ${why}\nreplay: npm run simulate -- --seed ${seed} --histories 1`;
}

function main(): void {
  const { values } = parseArgs({ options: { seed: { type: 'string' }, histories: { type: 'string' } } });
  const { seed = SEED, histories = HISTORIES } = values;
  const began = process.cpuUsage();
  const sum = simulate(Number(seed), Number(histories));
  const cpu = process.cpuUsage(began);
  const seconds = ((cpu.user + cpu.system) / 1e6).toFixed(1);
  console.log(
    `${sum.histories} histories, ${sum.effects} events, ${sum.connections} connections, ${seconds} s of CPU`,
  );
  if (sum.failed === undefined) return;
  console.error(words(sum.failed));
  process.exitCode = 1;
}

if (process.argv[1]?.endsWith('run.js') === true) main();
