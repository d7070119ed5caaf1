/**
 * What a host without etcd remembers of one component: the desired status, its releases, and marks
 * on containers that Docker cannot hold (labels are written once). One small JSON file each, replaced
 * whole and durably; whoever changes it holds the component's lock.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { completed } from '../config/normalise.ts';
import { makeFolder, removeTemporaries, stateWriteError, writeDurably } from '../durable-file.ts';
import { codeOf, GantryError, messageOf } from '../errors.ts';
import type { ContainerId, Desired, DesiredStatus, Release } from './state.ts';

/** Releases kept per component. */
const RELEASES_KEPT = 20;

export interface Mark {
  /** The container's release, which is kept as long as the container is. */
  readonly release?: number;
  /** Epoch milliseconds. */
  readonly startedAt?: number;
  readonly servedAt?: number;
  readonly drainSince?: number;
  readonly signalledAt?: number;
}

export interface ComponentRecord {
  readonly format: 1;
  readonly status: DesiredStatus;
  /** Number of the desired release; 0: never deployed. */
  readonly release: number;
  /** Why the desired release is not the newest one. */
  readonly reason?: string;
  /** The component was to be stopped when the desired release was made, so there is none to return to. */
  readonly startedFresh?: true;
  readonly releases: readonly Release[];
  readonly marks: Readonly<Record<ContainerId, Mark>>;
  /** Host ports of the links it defines, chosen once. */
  readonly linkPorts: Readonly<Record<string, number>>;
}

const EMPTY: ComponentRecord = {
  format: 1,
  status: 'stopped',
  release: 0,
  releases: [],
  marks: {},
  linkPorts: {},
};

export interface RecordFile {
  readonly path: string;
  readonly lockPath: string;
  /** Makes the folder of record and lock. */
  prepare(): Promise<void>;
  read(): Promise<ComponentRecord>;
  /** Changes with every write, whoever wrote: equal versions are the same record. */
  version(): Promise<string>;
  /** Only while holding the lock. */
  write(record: ComponentRecord): Promise<void>;
}

export function recordFile(stateDir: string, project: string, component: string): RecordFile {
  const path = join(stateDir, 'components', project, `${component}.json`);
  let tidy = false;
  return {
    path,
    lockPath: join(stateDir, 'components', project, `${component}.lock`),
    async prepare() {
      await prepareFolder(dirname(path));
    },
    async read() {
      return parse(path, await readIfThere(path));
    },
    version: () => versionOf(path),
    async write(record) {
      if (!tidy) await removeTemporaries(path);
      tidy = true;
      await writeDurably(path, `${JSON.stringify(record, null, 1)}\n`);
    },
  };
}

/** Names of the components this host remembers of a project. */
export async function recordedComponents(stateDir: string, project: string): Promise<readonly string[]> {
  try {
    const names = await readdir(join(stateDir, 'components', project));
    return names.filter((n) => n.endsWith('.json')).map((n) => n.slice(0, -'.json'.length));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

export function desiredOf(project: string, component: string, record: ComponentRecord): Desired {
  const release = record.releases.find((r) => r.number === record.release);
  return { project, component, status: record.status, release, previous: previousOf(record) };
}

function previousOf(record: ComponentRecord): Release | undefined {
  if (record.startedFresh === true) return undefined;
  return record.releases.filter((r) => r.proven && r.number < record.release).at(-1);
}

export function newestNumber(record: ComponentRecord): number {
  return record.releases.at(-1)?.number ?? 0;
}

/** The record with a new release, which is what is wanted from now on. */
export function withRelease(record: ComponentRecord, release: Release): ComponentRecord {
  const { reason: _, startedFresh: __, ...rest } = record;
  const releases = [...record.releases, release];
  const newest = releases.slice(-RELEASES_KEPT);
  const needed = stillNeeded(record);
  const kept = releases.filter((r) => newest.includes(r) || needed.has(r.number));
  const fresh = isFresh(record) ? { startedFresh: true as const } : {};
  return { ...rest, ...fresh, status: 'ready', release: release.number, releases: kept };
}

/** Nothing is to serve now: stopped, or started from there by a release that has not served yet. */
function isFresh(record: ComponentRecord): boolean {
  if (record.status !== 'ready') return true;
  const isProven = record.releases.some((r) => r.number === record.release && r.proven);
  return record.startedFresh === true && !isProven;
}

/** What a failure would return to, and what containers that drain were made from. */
function stillNeeded(record: ComponentRecord): ReadonlySet<number | undefined> {
  const proven = record.releases.filter((r) => r.proven).at(-1)?.number;
  return new Set([proven, ...Object.values(record.marks).map((m) => m.release)]);
}

export function withProven(record: ComponentRecord, number: number): ComponentRecord {
  const releases = record.releases.map((r) => (r.number === number ? { ...r, proven: true } : r));
  return { ...record, releases };
}

/** Desired goes back to the last proven release, or to `stopped` when there is none. */
export function withFailedRelease(record: ComponentRecord, number: number, reason: string): ComponentRecord {
  if (record.release !== number) return record;
  const previous = previousOf(record);
  if (previous === undefined) return { ...record, status: 'stopped', reason };
  return { ...record, release: previous.number, reason };
}

export function withStatus(record: ComponentRecord, status: DesiredStatus): ComponentRecord {
  return { ...record, status };
}

export function withMark(record: ComponentRecord, id: ContainerId, mark: Mark): ComponentRecord {
  return { ...record, marks: { ...record.marks, [id]: { ...record.marks[id], ...mark } } };
}

/** Forgets the marks of containers that are gone. */
export function withoutMarks(record: ComponentRecord, ids: readonly ContainerId[]): ComponentRecord {
  const marks = Object.fromEntries(Object.entries(record.marks).filter(([id]) => !ids.includes(id)));
  return { ...record, marks };
}

/** Every write makes a new file and renames it: inode and time tell them apart. */
async function versionOf(path: string): Promise<string> {
  try {
    const { ino, mtimeNs } = await stat(path, { bigint: true });
    return `${ino} ${mtimeNs}`;
  } catch (error) {
    if (isAbsent(error)) return 'none';
    throw unreadable(path, error);
  }
}

async function prepareFolder(folder: string): Promise<void> {
  try {
    await makeFolder(folder);
  } catch (error) {
    throw stateWriteError(folder, error);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): GantryError {
  return new GantryError('state-dir', `Cannot read ${path}: ${messageOf(error)}`, { cause: error });
}

function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

function parse(path: string, text: string | undefined): ComponentRecord {
  if (text === undefined) return EMPTY;
  try {
    const record: unknown = JSON.parse(text);
    if (isRecord(record)) return { ...record, releases: record.releases.map(withAllFields) };
  } catch (error) {
    throw corrupt(path, error);
  }
  throw corrupt(path, undefined);
}

/** The gantryd that made the release may have known fewer fields. */
function withAllFields(release: Release): Release {
  return { ...release, component: completed(release.component) };
}

function isRecord(value: unknown): value is ComponentRecord {
  if (!isObject(value) || value.format !== 1) return false;
  const { status, release, releases, marks, linkPorts } = value;
  const numbered = typeof release === 'number' && Array.isArray(releases);
  return typeof status === 'string' && numbered && isObject(marks) && isObject(linkPorts);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function corrupt(path: string, cause: unknown): GantryError {
  return new GantryError('state-dir', `${path} is not a record of this version of gantryd`, {
    hint: 'It was written by another version or damaged. Move it away; running containers are found by their labels.',
    cause,
  });
}
