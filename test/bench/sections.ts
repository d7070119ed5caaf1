/**
 * Runs the sections of a part one after the other, each with an end of all that it started, and writes what they
 * measured to a file, with how busy the machine was. One that fails, or does not end well, is told, and the others are
 * measured all the same.
 */
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { messageOf } from '../../src/errors.ts';
import { Ends } from './ends.ts';

/** How late this process is woken: what the machine's load does to all. */
const TICK_MS = 10;

export type Sections = Readonly<Record<string, (ends: Ends) => Promise<object>>>;

/** Ends the process. `wanted`: names with spaces between; all, when empty. */
export async function runSections(
  sections: Sections,
  out: string,
  wanted: string | undefined,
): Promise<never> {
  const names = wanted ? wanted.split(' ') : Object.keys(sections);
  const ends = new Ends();
  let interrupted = false;
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => {
      interrupted = true;
      void ends.close().finally(() => process.exit(1));
    });
  const told = (error: unknown) => {
    const failure = messageOf(error);
    if (!interrupted) say(`failed: ${failure}`);
    return { failure };
  };
  try {
    const results: Record<string, object> = {};
    for (const [name, measure] of Object.entries(sections)) {
      if (!names.includes(name)) continue;
      say(name);
      results[name] = await watched(() => measure(ends)).catch(told);
      await ends.close().catch((error: unknown) => {
        results[name] = told(error);
      });
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
}

/** A size of the benchmark, which a variable may make smaller for a trial. */
export function sizeOf(variable: string, usual: number): number {
  const text = process.env[variable] || `${usual}`;
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text);
  throw new Error(`${variable} must be a whole number, 1 or more, not ${text}`);
}

export function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
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
