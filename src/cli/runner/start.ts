/** Starts the process that runs jobs on this box, unless it is there. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { GantryError } from '../../errors.ts';
import { PACKAGE_ROOT } from '../../version.ts';
import type { Box } from '../jobs/place.ts';
import { environmentOfRunner } from './environment.ts';
import { runnerPid } from './pid.ts';

export interface RunnerStart {
  /** How long it stays when it has nothing to do; absent: shortly. */
  readonly lingerMs?: number;
}

/** Does not wait for it. */
export async function ensureRunner({ stateDir, docker }: Box, { lingerMs }: RunnerStart = {}): Promise<void> {
  if ((await runnerPid(stateDir)) !== undefined) return;
  const bin = join(PACKAGE_ROOT, 'bin', 'gantry.js');
  const engine = docker === undefined ? [] : ['--docker', docker];
  const linger = lingerMs === undefined ? [] : ['--linger', `${lingerMs}ms`];
  const words = ['job', 'runner', '--state-dir', stateDir, ...engine, ...linger];
  const child = spawn(process.execPath, [bin, ...words], {
    cwd: '/',
    detached: true,
    stdio: 'ignore',
    env: environmentOfRunner(process.env),
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve).once('error', (cause) => {
      reject(new GantryError('state-dir', `the runner could not be started: ${cause.message}`, { cause }));
    });
  });
  child.unref();
}
