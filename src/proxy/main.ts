/**
 * The proxy process. Runs until it is told to stop: SIGTERM or POST /v1/stop make it accept
 * nothing more, finish what it carries and go. Interrupts of a terminal are not for it.
 */
import { fstatSync, ftruncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { messageOf } from '../errors.ts';
import { type Log, type LogLevel, openLog } from '../log.ts';
import { VERSION } from '../version.ts';
import { ProxyClient, socketPathIn } from './client.ts';
import { Control } from './control.ts';
import { PROXY_TABLES } from './protocol.ts';
import { DataPlane } from './proxy.ts';

/** The log tells transitions only; what an earlier run left is dropped when it is longer. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;
const STDOUT = 1;
const LEAVE_POLL_MS = 50;

async function main(): Promise<void> {
  const { stateDir, level } = readArguments();
  boundLog();
  const log = await openLog(level, STDOUT);
  surviveDefects(log);
  await refuseSecond(stateDir);
  const proxy = new DataPlane({ tablesPath: join(stateDir, PROXY_TABLES), log });
  await proxy.start();
  const stopper = new Stopper(proxy, log);
  const control = new Control({
    socketPath: socketPathIn(stateDir),
    proxy,
    log,
    stop: (force) => stopper.stop(force),
  });
  await control.start();
  takeSignals(stopper);
  log.info('proxy started', { version: VERSION, stateDir });
  await stopper.stopped;
  await control.close();
  log.info('proxy stopped');
}

/** Stops once, whoever asks; a forced stop cuts one under way short. */
class Stopper {
  readonly stopped: Promise<void>;
  readonly #proxy: DataPlane;
  readonly #log: Log;
  #resolve: () => void = () => {};
  #stopping = false;

  constructor(proxy: DataPlane, log: Log) {
    this.#proxy = proxy;
    this.#log = log;
    this.stopped = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  stop(force: boolean): void {
    if (force) return void this.#end();
    if (this.#stopping) return;
    this.#stopping = true;
    this.#log.info('stopping', { open: this.#proxy.open, connections: this.#proxy.connections });
    void this.#leave();
  }

  async #leave(): Promise<void> {
    await this.#proxy.retire();
    while (this.#proxy.connections > 0) await sleep(LEAVE_POLL_MS);
    await this.#end();
  }

  async #end(): Promise<void> {
    await this.#proxy.close();
    this.#resolve();
  }
}

function readArguments(): { stateDir: string; level: LogLevel } {
  const { values } = parseArgs({
    options: { 'state-dir': { type: 'string' }, 'log-level': { type: 'string', default: 'info' } },
  });
  if (values['state-dir'] === undefined) throw new Error('--state-dir is required');
  return { stateDir: values['state-dir'], level: values['log-level'] as LogLevel };
}

function takeSignals(stopper: Stopper): void {
  const attached = process.stdout.isTTY === true;
  process.on('SIGTERM', () => stopper.stop(false));
  process.on('SIGINT', () => {
    if (attached) stopper.stop(false);
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

main().then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exit(1);
  },
);
