/** The files of install below a root: read, written where they differ, removed. Only files that carry our mark. */
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { removeIfThere, writeDurably } from '../../durable-file.ts';
import { codeOf, GantryError, isGantryError, messageOf } from '../../errors.ts';
import { isOurs, UNIT_FOLDER } from './units.ts';

export interface Placed {
  readonly path: string;
  readonly change: 'new' | 'changed' | 'as it was';
}

export function unitPath(root: string | undefined, name: string): string {
  return join(root ?? '/', UNIT_FOLDER, name);
}

/** undefined: there is none. */
export async function textAt(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new GantryError('install-failed', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Throws install-failed for a file that somebody else has put there. */
export async function refuseForeign(path: string): Promise<void> {
  const text = await textAt(path);
  if (text === undefined || isOurs(text)) return;
  throw new GantryError('install-failed', `${path} was not written by gantryd install`, {
    hint: 'Move it away and install again; changes of your own belong into a drop-in (systemctl edit).',
  });
}

/** Leaves a file that has this text already. */
export async function place(path: string, text: string, mode: number): Promise<Placed> {
  const old = await textAt(path);
  if (old === text) return { path, change: 'as it was' };
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await writeDurably(path, text);
    await chmod(path, mode);
  } catch (error) {
    throw unwritable(path, error);
  }
  return { path, change: old === undefined ? 'new' : 'changed' };
}

/** Answers whether there was one to remove. */
export async function removeOurs(path: string): Promise<boolean> {
  const text = await textAt(path);
  if (text === undefined || !isOurs(text)) return false;
  try {
    await removeIfThere(path);
  } catch (error) {
    throw unwritable(path, error);
  }
  return true;
}

function unwritable(path: string, error: unknown): GantryError {
  const message = isGantryError(error) ? error.message : `cannot write ${path}: ${messageOf(error)}`;
  return new GantryError('install-failed', message, {
    hint: 'What serves goes on; run the command again when it is mended.',
    cause: error,
  });
}
