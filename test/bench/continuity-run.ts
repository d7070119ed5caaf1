/**
 * Part `continuity`: what deploys, faults and upgrades cut, and how fast things are healed and taken back, on real
 * engines. `node continuity-run.js OUT.json ROUNDS`. The variables below make it smaller, for a trial.
 */
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { messageOf } from '../../src/errors.ts';
import { measureConnections } from './continuity-connections.ts';
import { measureDeploys } from './continuity-deploys.ts';
import { measureHealing } from './continuity-healing.ts';
import { measureMemory } from './continuity-memory.ts';
import { measureRollbacks } from './continuity-rollback.ts';
import { Ends } from './ends.ts';

/** How late this process is woken: what the machine's load does to all. */
const TICK_MS = 10;

const [out = '', given = '5'] = process.argv.slice(2);
const rounds = Number(given);
const wanted = process.env.GANTRYD_BENCH_CONTINUITY || 'deploys connections healing rollback memory';
const connections = sizeOf('GANTRYD_BENCH_CONNECTIONS', 5_000);

const parts = {
  deploys: (t: Ends) =>
    measureDeploys(t, {
      deploys: sizeOf('GANTRYD_BENCH_DEPLOYS', 100),
      requests: sizeOf('GANTRYD_BENCH_REQUESTS', 1_000_000),
      say,
    }),
  connections: (t: Ends) => measureConnections(t, { connections, say }),
  healing: (t: Ends) => measureHealing(t, { deaths: 2 * rounds, illnesses: Math.ceil(rounds / 2), say }),
  rollback: (t: Ends) => measureRollbacks(t, { rounds, say }),
  memory: (t: Ends) =>
    measureMemory(t, { components: sizeOf('GANTRYD_BENCH_COMPONENTS', 50), connections, say }),
};

const ends = new Ends();
let interrupted = false;
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    interrupted = true;
    void ends.close().finally(() => process.exit(1));
  });
try {
  const results: Record<string, object> = {};
  for (const [name, measure] of Object.entries(parts)) {
    if (!wanted.split(' ').includes(name)) continue;
    say(name);
    results[name] = await watched(() => measure(ends)).catch(told);
    await ends.close();
    if (interrupted) break;
  }
  await writeFile(out, JSON.stringify(results));
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
} finally {
  await ends.close();
}
process.exit();

/** The other sections are measured all the same. */
function told(error: unknown): object {
  const failure = messageOf(error);
  if (!interrupted) say(`failed: ${failure}`);
  return { failure };
}

async function watched(measure: () => Promise<object>): Promise<object> {
  const before = loadavg();
  const began = performance.now();
  const late = monitorEventLoopDelay({ resolution: TICK_MS });
  late.enable();
  const measured = await measure();
  late.disable();
  const lateMs = late.percentile(99) / 1e6 - TICK_MS;
  return { ...measured, load: [before[0], loadavg()[0]], lateMs, tookMs: performance.now() - began };
}

function sizeOf(variable: string, usual: number): number {
  const text = process.env[variable] || `${usual}`;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Error(`${variable} must be a whole number, 1 or more, not ${text}`);
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}
