/**
 * The proxy process. Runs until it is told to stop: SIGTERM or POST /v1/stop make it accept
 * nothing more, finish what it carries and go. Interrupts of a terminal are not for it.
 */
import { fstatSync, ftruncateSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '../errors.ts';
import { type Log, type LogLevel, openLog } from '../log.ts';
import { VERSION } from '../version.ts';
import { keepYoungHeapSmall } from '../young-heap.ts';
import { ProxyClient } from './control/client.ts';
import { PROXY_TABLES } from './control/protocol.ts';
import { Generation } from './generations/generation.ts';
import { Succession } from './generations/successor.ts';
import { countBytes } from './kernel/bytes.ts';
import type { KernelEvents } from './kernel/plane.ts';
import { DataPlane } from './proxy.ts';

/** The log tells transitions only; what an earlier run left is dropped when it is longer. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;
const STDOUT = 1;

/** Ends the process when all is done, with 1 and why when it could not begin. */
export function runProxy(): void {
  serve().then(
    () => process.exit(0),
    (error) => {
      process.stderr.write(`${messageOf(error)}\n`);
      process.exit(1);
    },
  );
}

async function serve(): Promise<void> {
  keepYoungHeapSmall();
  const { folder, level, succeeds, works } = readArguments();
  if (!works) boundLog();
  const log = await openLog(level, STDOUT);
  surviveDefects(log);
  if (!succeeds && !works) await refuseSecond(folder);
  process.chdir(folder);
  // Few hosts need it.
  const openKernel = async (events: KernelEvents) => {
    const { openKernelThread } = await import('./kernel/thread.ts');
    await countBytes(log);
    return openKernelThread({ stateDir: folder, events, log });
  };
  const plane = new DataPlane({ tablesPath: join(folder, PROXY_TABLES), log, openKernel });
  const generation = new Generation({ folder, level, plane, log });
  takeSignals(generation);
  if (succeeds) await generation.succeed(new Succession(plane));
  else if (works) await generation.work();
  else await generation.serve();
  log.info(works ? 'worker started' : 'proxy started', { version: VERSION, stateDir: folder });
  await generation.ended;
  log.info(works ? 'worker stopped' : 'proxy stopped');
}

function readArguments(): { folder: string; level: LogLevel; succeeds: boolean; works: boolean } {
  const { values } = parseArgs({
    options: {
      'state-dir': { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
      /** The proxy that serves has started this one, and hands over. */
      successor: { type: 'boolean', default: false },
      /** The proxy that serves has started this one, to share its work. */
      worker: { type: 'boolean', default: false },
    },
  });
  if (values['state-dir'] === undefined) throw new Error('--state-dir is required');
  const level = values['log-level'] as LogLevel;
  return { folder: resolve(values['state-dir']), level, succeeds: values.successor, works: values.worker };
}

function takeSignals(generation: Generation): void {
  const attached = process.stdout.isTTY === true;
  process.on('SIGTERM', () => generation.stop(false));
  process.on('SIGINT', () => {
    if (attached) generation.stop(false);
  });
  process.on('SIGHUP', () => {});
}

/** One connection's defect must not take all the others with it. */
function surviveDefects(log: Log): void {
  process.on('uncaughtException', (error) => log.error('uncaught', { why: error.stack ?? messageOf(error) }));
}

/** The lock is the guard; this is for whoever starts the process without it. */
async function refuseSecond(stateDir: string): Promise<void> {
  const other = await new ProxyClient({ stateDir, deadlineMs: 2_000 }).status().catch(() => undefined);
  if (other !== undefined) throw new Error(`a proxy (process ${other.pid}) already serves ${stateDir}`);
}

function boundLog(): void {
  const { size } = fstatSync(STDOUT);
  if (size > MAX_LOG_BYTES) ftruncateSync(STDOUT, 0);
}
