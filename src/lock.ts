/**
 * An exclusive lock between processes: flock(2) on a file, taken by flock(1) of util-linux because Node
 * has no such call. flock(1) locks the open file it inherits and exits; the lock belongs to that open file,
 * so it is ours until we close it or die, however we die. Nothing can go stale and no process stays behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { GantryError, messageOf } from './errors.ts';

export interface LockOptions {
  readonly timeoutMs: number;
  /** Gives up the waiting; handed on to the body, which it does not interrupt by itself. */
  readonly signal?: AbortSignal;
  /** Called once when the lock is not free; `holder` is `PID COMMAND` if known. */
  readonly onWait?: (holder: string | undefined) => void;
}

/** flock's exit code for "not got in time". */
const NOT_GOT = 75;
/**
 * We start over when the lock file was replaced while we waited, and when flock was killed: a Ctrl-C can still
 * reach it between fork and setsid.
 */
const MOST_TRIES = 10;
const HOLDER_CHARACTERS = 200;

/**
 * Runs `body` while holding the lock at `path` (created if need be, never removed) and answers what it answers.
 * Throws locked after `timeoutMs`, interrupted when aborted while waiting, state-dir when it cannot be locked
 * at all. Also excludes other calls of the same process; is not re-entrant.
 */
export async function withLock<T>(
  path: string,
  options: LockOptions,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const signal = options.signal ?? new AbortController().signal;
  const file = await acquire(resolve(path), { ...options, signal });
  try {
    await introduce(file);
    return await body(signal);
  } finally {
    await release(file);
  }
}

type Wait = LockOptions & { readonly signal: AbortSignal };

async function acquire(path: string, wait: Wait): Promise<FileHandle> {
  const end = performance.now() + wait.timeoutMs;
  let told = false;
  const onWait = (holder: string | undefined) => {
    if (!told) wait.onWait?.(holder);
    told = true;
  };
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const timeoutMs = Math.max(0, end - performance.now());
    const file = await openLockFile(path);
    try {
      const locked = await lock(file, path, { ...wait, timeoutMs, onWait }, wait.timeoutMs);
      if (locked && (await isStillAt(file, path))) return file;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
  }
  throw new GantryError('state-dir', `the lock file ${path} is replaced, or flock killed, again and again`);
}

/** False: flock was killed, nothing is known. */
async function lock(file: FileHandle, path: string, wait: Wait, givenMs: number): Promise<boolean> {
  const atOnce = ['flock', '--exclusive', '--nonblock', '--conflict-exit-code', `${NOT_GOT}`, '3'];
  const first = await flock(atOnce, file, path, wait.signal);
  if (first !== 'taken') return first === 'locked';
  const holder = await readHolder(file);
  wait.onWait?.(holder);
  if (wait.timeoutMs > 0) {
    const seconds = (wait.timeoutMs / 1000).toFixed(3);
    const waiting = ['flock', '--exclusive', '--wait', seconds, '--conflict-exit-code', `${NOT_GOT}`, '3'];
    // A waiter that outlived us would take the lock for a moment, for nobody: it dies with us.
    const bound = ['setpriv', '--pdeathsig', 'KILL', ...waiting];
    const second = await flock(bound, file, path, wait.signal);
    if (second !== 'taken') return second === 'locked';
  }
  throw lockedError(path, (await readHolder(file)) ?? holder, givenMs);
}

/** Runs flock on our open file. Its own session keeps a Ctrl-C in the terminal from reaching it before us. */
function flock(
  command: readonly string[],
  file: FileHandle,
  path: string,
  signal: AbortSignal,
): Promise<'locked' | 'taken' | 'killed'> {
  if (signal.aborted) return Promise.reject(interruptedError(path));
  const [program = '', ...args] = command;
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'ignore', 'pipe', file.fd] });
  const onAbort = () => child.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  return exitOf(child)
    .then(({ code, complaint }) => {
      if (signal.aborted) throw interruptedError(path);
      if (code === null) return 'killed';
      if (code === 0) return 'locked';
      if (code === NOT_GOT) return 'taken';
      throw new GantryError('state-dir', `cannot lock ${path}: ${complaint}`, {
        hint: 'the state directory must be on a file system with locks; choose another one with --state-dir',
      });
    })
    .finally(() => signal.removeEventListener('abort', onAbort));
}

function exitOf(child: ChildProcess): Promise<{ code: number | null; complaint: string }> {
  return new Promise((resolve, reject) => {
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(0, 1000);
    });
    child.once('error', (error) => reject(cannotRun(child.spawnargs[0] ?? '', error)));
    child.once('close', (code) => {
      resolve({ code, complaint: complaint.trim() || `flock ended with exit code ${code}` });
    });
  });
}

async function openLockFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'a+', 0o600);
  } catch (error) {
    throw new GantryError('state-dir', `cannot open the lock file ${path}: ${messageOf(error)}`, {
      hint: `see that ${dirname(path)} exists and can be written to, or choose another folder with --state-dir`,
      cause: error,
    });
  }
}

/** A lock on a file that was removed meanwhile excludes nobody who comes later. */
async function isStillAt(file: FileHandle, path: string): Promise<boolean> {
  const ours = await file.stat();
  const there = await stat(path).catch(() => undefined);
  return there !== undefined && there.ino === ours.ino && there.dev === ours.dev;
}

/** Tells those who wait who holds the lock. Best effort: a full disk takes no name, and the lock holds as well. */
async function introduce(file: FileHandle): Promise<void> {
  await file.truncate(0).catch(() => undefined);
  await file.write(`${process.pid} ${ownCommand()}\n`).catch(() => undefined);
}

async function release(file: FileHandle): Promise<void> {
  await file.truncate(0).catch(() => undefined);
  await file.close();
}

async function readHolder(file: FileHandle): Promise<string | undefined> {
  const buffer = Buffer.alloc(HOLDER_CHARACTERS);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
  const line = buffer.toString('utf8', 0, bytesRead).split('\n')[0]?.trim();
  return line === undefined || line === '' ? undefined : line;
}

/** Without options and their values, which may be secret. */
function ownCommand(): string {
  const [, script = 'node', ...args] = process.argv;
  const isPlain = (arg: string) => !arg.startsWith('-') && !arg.includes('=');
  const plain = args.filter((arg, i) => isPlain(arg) && !args[i - 1]?.startsWith('-'));
  const words = [basename(script), ...plain].join(' ').replace(/\p{Cc}/gu, ' ');
  return words.slice(0, HOLDER_CHARACTERS / 2);
}

function lockedError(path: string, holder: string | undefined, timeoutMs: number): GantryError {
  const [pid, ...command] = holder?.split(' ') ?? [];
  const who = pid === undefined ? 'another process' : `process ${pid} (${command.join(' ')})`;
  return new GantryError('locked', `${who} has held ${path} for longer than ${timeoutMs} ms`, {
    retryable: true,
    hint: 'wait for that command to end, or end it, then try again',
  });
}

function interruptedError(path: string): GantryError {
  return new GantryError('interrupted', `gave up waiting for the lock ${path}`);
}

function cannotRun(program: string, error: Error): GantryError {
  return new GantryError(
    'state-dir',
    `cannot run ${program}, which takes gantryd's locks: ${error.message}`,
    {
      hint: 'install the package util-linux',
      cause: error,
    },
  );
}
