/**
 * How the proxy that serves starts its successor and hands it the listening sockets. Until the successor says that it
 * serves, everything can be taken back: it is killed then, and the error says why.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import type { Server } from 'node:net';
import { codeOf, GantryError, messageOf } from '../../errors.ts';
import type { LogLevel } from '../../log.ts';
import type { UpgradeRequest } from '../control/protocol.ts';
import type { DataPlane } from '../proxy.ts';
import { openProxyLog, surroundings, withLastWords } from './spawned.ts';
import type { FromElder, FromSuccessor } from './succession.ts';

/** For each of the two steps. Counted in looks: who was stopped in between must not find its time over. */
const PATIENCE_MS = 15_000;
const LOOK_MS = 250;

export interface HandoverOptions {
  readonly folder: string;
  readonly level: LogLevel;
  readonly lockFd: number | undefined;
  readonly plane: DataPlane;
  /** Gives it up. */
  readonly signal: AbortSignal;
}

/** It serves. */
export interface Successor {
  readonly pid: number;
  /** Tells it that nothing is accepted here any more; it is on its own from then on. */
  release(): void;
}

/** Throws GantryError proxy-failed with the end of the log; the successor is dead then. */
export async function handOver(request: UpgradeRequest, options: HandoverOptions): Promise<Successor> {
  const child = start(request, options);
  try {
    const { signal, plane } = options;
    const prepared = says(child, 'prepared', signal);
    await Promise.all([prepared, tell(child, { kind: 'tables', ...plane.tables })]);
    await Promise.all([says(child, 'serving', signal), giveDoors(child, plane)]);
  } catch (error) {
    await kill(child);
    const why = `the proxy could not be upgraded: ${messageOf(error)}`;
    throw new GantryError('proxy-failed', await withLastWords(options.folder, why), {
      hint: 'The running proxy carries on as before.',
      cause: error,
    });
  }
  child.unref();
  return { pid: Number(child.pid), release: () => release(child) };
}

function start({ node, main }: UpgradeRequest, { folder, level, lockFd }: HandoverOptions): ChildProcess {
  const log = openProxyLog(folder);
  try {
    return spawn(node, [main, '--state-dir', folder, '--log-level', level, '--successor'], {
      ...surroundings(),
      stdio: ['ignore', log, log, 'ipc', ...(lockFd === undefined ? [] : [lockFd])],
    });
  } finally {
    closeSync(log);
  }
}

async function giveDoors(child: ChildProcess, plane: DataPlane): Promise<void> {
  for (const { address, port, server } of plane.listening)
    await tell(child, { kind: 'door', address, port }, server);
  await tell(child, { kind: 'all-doors' });
}

function tell(child: ChildProcess, message: FromElder, handle?: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    // A channel that is closed means an end that `says` tells more of.
    child.send(message, handle, (error) => (error === null || isClosed(error) ? resolve() : reject(error)));
  });
}

function isClosed(error: Error): boolean {
  return ['EPIPE', 'ECONNRESET', 'ERR_IPC_CHANNEL_CLOSED'].includes(codeOf(error));
}

/** Rejects when the successor ends, is late, or the signal aborts. */
function says(child: ChildProcess, kind: FromSuccessor['kind'], signal: AbortSignal): Promise<void> {
  const done = new AbortController();
  return new Promise<void>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(why));
    const onMessage = (message: unknown) => (message as FromSuccessor).kind === kind && resolve();
    const onExit = (code: number | null, name: string | null) =>
      fail(`its successor ended with ${code ?? name}`);
    const onError = (error: Error) => fail(`its successor could not be started: ${error.message}`);
    const onAbort = () => fail('it was told to stop');
    child.on('message', onMessage).once('exit', onExit).once('error', onError);
    signal.addEventListener('abort', onAbort, { once: true, signal: done.signal });
    let left = PATIENCE_MS / LOOK_MS;
    const looks = setInterval(() => {
      left -= 1;
      if (left === 0) fail(`its successor was not ${kind} within ${PATIENCE_MS} ms`);
    }, LOOK_MS);
    done.signal.addEventListener('abort', () => {
      clearInterval(looks);
      child.off('message', onMessage).off('exit', onExit).off('error', onError);
    });
  }).finally(() => done.abort());
}

async function kill(child: ChildProcess): Promise<void> {
  // A late word about an end that is known already.
  child.on('error', () => {});
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

function release(child: ChildProcess): void {
  const retired: FromElder = { kind: 'retired' };
  // It may have died meanwhile: its standby brings the next one.
  child.on('error', () => {});
  if (child.connected) child.send(retired, () => child.connected && child.disconnect());
}

/** The descriptor that flock(1) left us, which is the lock; undefined when we were started without it. */
export function findLock(path: string): number | undefined {
  const lock = statSync(path, { throwIfNoEntry: false });
  if (lock === undefined) return undefined;
  const isLock = (stats: Stats | undefined) => stats?.ino === lock.ino && stats.dev === lock.dev;
  return readdirSync('/proc/self/fd')
    .map(Number)
    .find((fd) => isLock(statOf(fd)));
}

function statOf(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    return undefined; // the one that read the folder
  }
}
