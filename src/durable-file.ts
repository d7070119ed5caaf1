/**
 * Files that survive a crash: after writeDurably the file holds the whole new text or, when it failed,
 * the whole old one. Knows nothing about what is written.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { codeOf, GantryError, messageOf } from './errors.ts';

/** `.NAME.PID.RANDOM.tmp`, beside the file it becomes. */
const TEMPORARY = /^\..+\.(\d+)\.[0-9a-f]{12}\.tmp$/;
const ABANDONED_AFTER_MS = 60_000;

/**
 * Replaces `path` (mode 0600) by `text`: temporary file in the same folder, fsync, rename, fsync of the
 * folder. Throws state-write with the reason; the old file is then untouched and no temporary file is left.
 */
export async function writeDurably(path: string, text: string): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await writeSynced(temporary, text);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    // What stopped the write may stop this too (a disk gone read-only); the first cause is the one to tell.
    await unlink(temporary).catch(() => undefined);
    throw stateWriteError(path, error);
  }
}

/** A new name beside `path` that removeAbandoned knows. */
export function temporaryPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`);
}

/** Creates `path`, which must not exist, and returns once the text is on the disk. */
export async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes the temporary files of processes that died while writing. */
export async function removeAbandoned(folder: string, now: number = Date.now()): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = TEMPORARY.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const path = join(folder, name);
    const age = now - (await modifiedAt(path, now));
    if (age >= ABANDONED_AFTER_MS) await removeIfThere(path);
  }
}

/** Removes what writers of `path` that died left beside it. Only for who keeps every other writer out. */
export async function removeTemporaries(path: string): Promise<void> {
  const folder = dirname(path);
  const own = `.${basename(path)}.`;
  const names = await readdir(folder).catch((error: unknown) => {
    throw stateWriteError(path, error);
  });
  for (const name of names) {
    if (!name.startsWith(own) || !/^\d+\.[0-9a-f]{12}\.tmp$/.test(name.slice(own.length))) continue;
    await removeIfThere(join(folder, name));
  }
}

/**
 * Makes the folder and those above it, mode 0700; one that is there is success. Throws what mkdir throws.
 * Node's own recursive mkdir never ends where the file system denies that the parent exists, as in /proc.
 */
export async function makeFolder(folder: string): Promise<void> {
  try {
    await makeOne(folder);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || dirname(folder) === folder) throw error;
    await makeFolder(dirname(folder));
    await makeOne(folder);
  }
}

async function makeOne(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST' || !(await stat(folder)).isDirectory()) throw error;
  }
}

export async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw stateWriteError(path, error);
  });
}

/** state-write naming the path, the reason and what to do. */
export function stateWriteError(path: string, error: unknown): GantryError {
  const known = REASONS[codeOf(error)];
  const reason = known?.[0] ?? messageOf(error);
  const hint = known?.[1] ?? `see that ${dirname(path)} can be written to, then try again`;
  return new GantryError('state-write', `cannot write ${path}: ${reason}`, { hint, cause: error });
}

const REASONS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ['the disk is full', 'free some space on the disk of the state directory, then try again'],
  EDQUOT: ['the disk quota is used up', 'free some space or raise the quota, then try again'],
  EROFS: ['the file system is read-only', 'mount it writable or choose another folder with --state-dir'],
  EACCES: ['permission denied', 'run as the owner of the folder or choose another one with --state-dir'],
  EPERM: ['not permitted', 'run as the owner of the folder or choose another one with --state-dir'],
  ENOENT: ['the folder does not exist', 'was the state directory removed? The next command makes a new one'],
  EIO: ['the disk reported an input/output error', 'look at the kernel log: the disk may be failing'],
};

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

async function modifiedAt(path: string, otherwise: number): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return otherwise;
    throw error;
  }
}
