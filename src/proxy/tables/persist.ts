/**
 * The tables on disk, whole or not at all (durable-file.ts). What cannot be read back is put aside and
 * reported.
 */
import { readFile, rename } from 'node:fs/promises';
import { writeDurably } from '../../durable-file.ts';
import { GantryError, messageOf } from '../../errors.ts';
import type { OwnedTable } from '../control/protocol.ts';
import type { Backend, LeaveTerms } from './routes.ts';
import { checkOwner, checkTable } from './table-check.ts';

const FORMAT = 1;

export interface SavedTables {
  /** The highest revision ever given out, so that none is given twice. */
  readonly lastRevision: number;
  readonly owners: readonly OwnedTable[];
  /** Not in a table any more, but led to by the kernel when this was saved. Absent: none. */
  readonly left?: readonly LeftBackend[];
  /** Which start of the host this was saved in; after another one, processes are others. */
  readonly boot?: string;
}

/** A backend that clients are with although no table says so. */
export interface LeftBackend extends Pick<Backend, 'id' | 'host' | 'port' | 'pid'> {
  readonly owner: string;
  readonly component: string;
  /** As what is counted is named. */
  readonly release: string;
  /** Epoch milliseconds: when it left the table. */
  readonly since: number;
  readonly leave?: LeaveTerms;
}

export interface LoadedTables extends SavedTables {
  /** What could not be taken over, as sentences. */
  readonly problems: readonly string[];
}

const NOTHING: SavedTables = { lastRevision: 0, owners: [] };

/** Throws GantryError state-write; the file on disk is then the one from before. */
export async function saveTables(path: string, tables: SavedTables): Promise<void> {
  await writeDurably(path, `${JSON.stringify({ format: FORMAT, ...tables })}\n`);
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

function parseTables(value: Partial<Record<keyof SavedTables | 'format', unknown>>): LoadedTables {
  if (value.format !== FORMAT) throw new Error(`format ${String(value.format)} is not ${FORMAT}`);
  if (!Array.isArray(value.owners)) throw new Error('owners is not a list');
  const owners: OwnedTable[] = [];
  const problems: string[] = [];
  for (const { owner, revision, table } of value.owners as OwnedTable[]) {
    const wrong = [checkOwner(owner) ?? [], checkTable(table).problems ?? []].flat();
    if (wrong.length === 0) owners.push({ owner, revision, table });
    else problems.push(`the table of ${String(owner)} is left out: ${wrong.join('; ')}`);
  }
  const left = Array.isArray(value.left) ? value.left.filter(isLeft) : [];
  const boot = typeof value.boot === 'string' ? { boot: value.boot } : {};
  return { lastRevision: Number(value.lastRevision) || 0, owners, left, ...boot, problems };
}

function isLeft(value: unknown): value is LeftBackend {
  const { owner, component, id, host, release, since } = (value ?? {}) as Partial<LeftBackend>;
  return [owner, component, id, host, release].every((it) => typeof it === 'string') && Number(since) > 0;
}
