/**
 * Part `fleet`: intents, rollouts and many hosts around a real etcd. `node fleet/run.js OUT.json ROUNDS`.
 * GANTRYD_BENCH_FLEET names those of its parts that are wanted, GANTRYD_BENCH_AGENTS other numbers of agents.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { messageOf } from '../../../src/errors.ts';
import { Ends } from '../ends.ts';
import { measureLatency } from './latency.ts';
import { measureRollouts } from './rollout.ts';
import { measureScale } from './scale.ts';

/** How late this process, which has little to do, is woken: what the machine's load does to all. */
const TICK_MS = 10;
/** Intents of a run; half of them are updates. */
const INTENTS = 100;

const COMPONENTS = 20;
const MAX_PARALLEL = 50;
const SCALE = { components: COMPONENTS, maxParallel: MAX_PARALLEL, restMs: 60_000, changes: 8 };

const [out = '', rounds = '3'] = process.argv.slice(2);
const { GANTRYD_BENCH_FLEET = 'latency rollout scale', GANTRYD_BENCH_AGENTS = '50,150,500' } = process.env;

const parts = {
  async latency(t: Ends) {
    const runs = [];
    for (let round = 1; round <= Number(rounds); round++)
      for (const members of [1, 3] as const) {
        say(`latency, ${members} of etcd, run ${round} of ${rounds}`);
        runs.push(await measureLatency(t, members, INTENTS));
        await t.close();
      }
    return { runs };
  },
  async rollout(t: Ends) {
    say(`rollouts through three hosts, ${rounds} rounds`);
    return { rollouts: await measureRollouts(t, Number(rounds)) };
  },
  async scale(t: Ends) {
    const agents = GANTRYD_BENCH_AGENTS.split(',').map(Number);
    const cores = availableParallelism();
    return {
      cores,
      components: COMPONENTS,
      maxParallel: MAX_PARALLEL,
      sizes: await measureScale(t, { agents, ...SCALE, say }),
    };
  },
};

const ends = new Ends();
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => void ends.close().finally(() => process.exit(1)));
try {
  const results: Record<string, object> = {};
  for (const [name, measure] of Object.entries(parts)) {
    if (!GANTRYD_BENCH_FLEET.split(' ').includes(name)) continue;
    const before = loadavg();
    const late = monitorEventLoopDelay({ resolution: TICK_MS });
    late.enable();
    const measured = await measure(ends);
    late.disable();
    await ends.close();
    results[name] = {
      ...measured,
      load: [before[0], loadavg()[0]],
      lateMs: late.percentile(99) / 1e6 - TICK_MS,
    };
  }
  await writeFile(out, JSON.stringify(results));
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
} finally {
  await ends.close();
}
process.exit();

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}
