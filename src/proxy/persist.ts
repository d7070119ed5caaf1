/**
 * The tables on disk: written beside, flushed, renamed, so that a crash or a full disk leaves
 * either the old file or the new one. What cannot be read back is put aside and reported.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { GantryError, messageOf } from '../errors.ts';
import type { OwnedTable } from './protocol.ts';
import { checkOwner, checkTable } from './table-check.ts';

const FORMAT = 1;

export interface SavedTables {
  /** The highest revision ever given out, so that none is given twice. */
  readonly lastRevision: number;
  readonly owners: readonly OwnedTable[];
}

export interface LoadedTables extends SavedTables {
  /** What could not be taken over, as sentences. */
  readonly problems: readonly string[];
}

const NOTHING: SavedTables = { lastRevision: 0, owners: [] };

/** Throws GantryError state-write; the file on disk is then the one from before. */
export async function saveTables(path: string, tables: SavedTables): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await writeThrough(temporary, `${JSON.stringify({ format: FORMAT, ...tables })}\n`);
    await rename(temporary, path);
    await flushFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new GantryError('state-write', `cannot write ${path}: ${messageOf(error)}`, {
      retryable: true,
      hint: 'Free space on that file system; the routes in force are not affected.',
      cause: error,
    });
  }
}

/** No file: nothing to restore. An unreadable one is moved aside to `<path>.bad`. */
export async function loadTables(path: string): Promise<LoadedTables> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new GantryError('state-dir', `cannot read ${path}: ${error.message}`, { cause: error });
  });
  if (text === undefined) return { ...NOTHING, problems: [] };
  try {
    return parseTables(JSON.parse(text));
  } catch (error) {
    await rename(path, `${path}.bad`);
    return { ...NOTHING, problems: [`${path} is put aside as ${path}.bad: ${messageOf(error)}`] };
  }
}

function parseTables(value: { format?: unknown; lastRevision?: unknown; owners?: unknown }): LoadedTables {
  if (value.format !== FORMAT) throw new Error(`format ${String(value.format)} is not ${FORMAT}`);
  if (!Array.isArray(value.owners)) throw new Error('owners is not a list');
  const owners: OwnedTable[] = [];
  const problems: string[] = [];
  for (const { owner, revision, table } of value.owners as OwnedTable[]) {
    const wrong = [checkOwner(owner) ?? [], checkTable(table).problems ?? []].flat();
    if (wrong.length === 0) owners.push({ owner, revision, table });
    else problems.push(`the table of ${String(owner)} is left out: ${wrong.join('; ')}`);
  }
  return { lastRevision: Number(value.lastRevision) || 0, owners, problems };
}

async function writeThrough(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
