/**
 * Who brings the proxy back when it is killed: flock(1), waiting for the proxy's lock to start the next one. The
 * kernel gives it the lock when the proxy dies, however it dies. Whoever serves keeps exactly one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { messageOf } from '../../errors.ts';
import type { Log, LogLevel } from '../../log.ts';
import { PROXY_LOCK } from '../control/protocol.ts';
import { killIfThere, MAIN, openProxyLog, surroundings } from './spawned.ts';

/** Between the end of a standby, which somebody must have ended, and the next: doubled while they end at once. */
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 60_000;

export interface StandbyOptions {
  readonly folder: string;
  readonly level: LogLevel;
  readonly log: Log;
}

export class Standby {
  readonly #options: StandbyOptions;
  readonly #lock: string;
  #child: ChildProcess | undefined;
  #wanted = false;
  #pauseMs = FIRST_PAUSE_MS;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: StandbyOptions) {
    this.#options = options;
    this.#lock = join(options.folder, PROXY_LOCK);
  }

  /** INVARIANT: the caller holds the lock. Those of other generations are ended. Idempotent. */
  async start(): Promise<void> {
    this.#wanted = true;
    if (this.#child === undefined) this.#spawn();
    await this.#endOthers();
  }

  /** A successor is about to end it; it is not replaced until `start`. */
  leave(): void {
    this.#wanted = false;
    clearTimeout(this.#restart);
  }

  /** Ends the one of this process; a successor has its own. */
  end(): void {
    this.leave();
    this.#child?.kill('SIGKILL');
  }

  /** Resolves when none waits any more. */
  async close(): Promise<void> {
    this.leave();
    const child = this.#child;
    const ended = child === undefined ? undefined : once(child, 'exit');
    if (child?.kill('SIGKILL')) await ended;
    await this.#endOthers();
  }

  #spawn(): void {
    const { folder, level, log } = this.#options;
    const program = [process.execPath, MAIN, '--state-dir', folder, '--log-level', level];
    const fd = openProxyLog(folder);
    const child = spawn('flock', ['--no-fork', this.#lock, ...program], {
      ...surroundings(),
      stdio: ['ignore', fd, fd],
    });
    closeSync(fd);
    const startedAt = performance.now();
    this.#child = child;
    child.once('error', (error) => {
      log.error('nobody waits to bring the proxy back', { why: messageOf(error) });
      this.#ended(startedAt);
    });
    child.once('exit', () => this.#ended(startedAt));
    child.unref();
  }

  #ended(startedAt: number): void {
    this.#child = undefined;
    if (!this.#wanted) return;
    if (performance.now() - startedAt > MAX_PAUSE_MS) this.#pauseMs = FIRST_PAUSE_MS;
    this.#options.log.warn('the standby of the proxy ended and is replaced', { inMs: this.#pauseMs });
    this.#restart = setTimeout(() => this.#respawn(), this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS);
  }

  #respawn(): void {
    try {
      this.#spawn();
    } catch (error) {
      this.#options.log.error('the standby of the proxy cannot be started', { why: messageOf(error) });
      this.#ended(performance.now());
    }
  }

  async #endOthers(): Promise<void> {
    for (const pid of await waitingFor(this.#lock)) if (pid !== this.#child?.pid) killIfThere(pid);
  }
}

/** Processes that wait for the lock as a standby does. */
async function waitingFor(lock: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map(async (pid) => (await isStandby(pid, lock)) && Number(pid)));
  return found.filter((pid) => pid !== false);
}

async function isStandby(pid: string, lock: string): Promise<boolean> {
  // Gone meanwhile, or another user's.
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const [program = '', option, path] = line.split('\0');
  return basename(program) === 'flock' && option === '--no-fork' && path === lock;
}
