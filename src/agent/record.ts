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
import { type CanaryMark, canaryOf, isOnTrial, withoutCanary } from './plan/canary-mark.ts';
import type { ContainerId, Desired, DesiredStatus, Release } from './plan/state.ts';
import { endsScale, type ScaleMemory, scaledAt, scaledBack, sizedHere } from './scale.ts';

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
  /** When it was last taken out of the table; only where the release before is kept for a while. */
  readonly unroutedAt?: number;
}

/** What a host that follows a fleet remembers of it, so that neither a restart nor an etcd that is away matters. */
export interface FleetMemory {
  /** Of the desired value that is followed here. */
  readonly generation: number;
  /** Of its rollout. */
  readonly attempt: number;
  /** The generation that was last followed to its end; 0: none. */
  readonly settled: number;
  readonly failed?: { readonly generation: number; readonly attempt: number; readonly why: string };
  /** Epoch milliseconds when the release that is followed was proven here. */
  readonly provenAt?: number;
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
  /** The proven release that was wanted when the desired one became it; absent: the newest proven one below it. */
  readonly before?: number;
  /** Of the release that is, or was last, tried out. */
  readonly canary?: CanaryMark;
  /** Absent on a host without etcd. */
  readonly fleet?: FleetMemory;
  /** Absent: nobody asked for another number than the releases say. */
  readonly scale?: ScaleMemory;
  readonly releases: readonly Release[];
  readonly marks: Readonly<Record<ContainerId, Mark>>;
  /** Host ports of the links it defines, chosen once. */
  readonly linkPorts: Readonly<Record<string, number>>;
}

/** Of a component that this host knows nothing of. */
export const EMPTY_RECORD: ComponentRecord = {
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
  /** Of this process: a clock that is coarse, and the number of a file used again, may hide one of them. */
  let writes = 0;
  return {
    path,
    lockPath: join(stateDir, 'components', project, `${component}.lock`),
    async prepare() {
      await prepareFolder(dirname(path));
    },
    async read() {
      return parse(path, await readIfThere(path));
    },
    version: async () => `${writes} ${await versionOf(path)}`,
    async write(record) {
      if (!tidy) await removeTemporaries(path);
      tidy = true;
      writes += 1;
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

/** Of each component that this host remembers of a project; undefined: it cannot be read, as whoever runs it will tell. */
export async function recordsOf(
  stateDir: string,
  project: string,
): Promise<ReadonlyMap<string, ComponentRecord | undefined>> {
  const records = new Map<string, ComponentRecord | undefined>();
  for (const name of await recordedComponents(stateDir, project)) {
    const record = recordFile(stateDir, project, name).read();
    records.set(name, await record.catch(() => undefined));
  }
  return records;
}

/**
 * The releases in it have as many instances as are to be here. `keepsOld`: whether a release that was switched from
 * stays warm here for as long as the new one says.
 */
export function desiredOf(
  project: string,
  component: string,
  record: ComponentRecord,
  keepsOld = false,
): Desired {
  const { release, previous } = sizedHere(record, wantedOf(record), previousOf(record));
  // A release may have been recorded before there was the setting.
  const keepOldMs = keepsOld ? (release?.component.update?.keepOldMs ?? 0) : 0;
  const canary = canaryOf(record, release);
  const wanted = {
    project,
    component,
    status: record.status,
    release,
    previous,
    keepOldMs,
  };
  return canary === undefined ? wanted : { ...wanted, canary };
}

function wantedOf(record: ComponentRecord): Release | undefined {
  return record.releases.find((r) => r.number === record.release);
}

function previousOf(record: ComponentRecord): Release | undefined {
  if (record.startedFresh === true) return undefined;
  const { before, releases, release } = record;
  if (before !== undefined) return releases.find((r) => r.number === before);
  return releases.filter((r) => r.proven && r.number < release).at(-1);
}

export function newestNumber(record: ComponentRecord): number {
  return record.releases.at(-1)?.number ?? 0;
}

/** The record with a new release, which is what is wanted from now on. */
export function withRelease(record: ComponentRecord, release: Release): ComponentRecord {
  const scaled = scaledAt(record, endsScale(wantedOf(record), release));
  return wanting(scaled, [...record.releases, release], release.number);
}

/**
 * The record in which a release that the fleet decided on is what is wanted, be its number higher or lower than
 * the present one's. One that is known here stays as it was run, but for what other hosts may change of it.
 * `scaleIsOver`: nobody asks for another number than the release says any more.
 */
export function withAdopted(
  given: ComponentRecord,
  release: Release,
  fleet: FleetMemory,
  scaleIsOver = false,
): ComponentRecord {
  const record = scaledAt(given, scaleIsOver);
  const known = record.releases.find((r) => r.number === release.number && r.imageId === release.imageId);
  const adopted = known === undefined ? release : refreshed(known, release);
  const others = record.releases.filter((r) => r.number !== release.number);
  const releases = [...others, adopted].sort((a, b) => a.number - b.number);
  return { ...wanting(record, releases, release.number), fleet };
}

function refreshed(known: Release, given: Release): Release {
  const { listeners, linkEnvironment } = given;
  return { ...known, listeners, linkEnvironment, proven: known.proven || given.proven };
}

function wanting(record: ComponentRecord, releases: readonly Release[], number: number): ComponentRecord {
  const isSame = record.status === 'ready' && record.release === number;
  const { reason: _, startedFresh: __, before: ___, ...rest } = isSame ? record : withoutCanary(record);
  const origin = originOf(record, number);
  const newest = releases.slice(-RELEASES_KEPT);
  const needed = new Set([number, origin.before, ...stillNeeded(record)]);
  const kept = releases.filter((r) => newest.includes(r) || needed.has(r.number));
  return { ...rest, ...origin, status: 'ready', release: number, releases: kept };
}

/** Where the release with this number would return to if it became what is wanted now. */
function originOf(record: ComponentRecord, number: number): Pick<ComponentRecord, 'startedFresh' | 'before'> {
  const { startedFresh, before } = record;
  if (record.status === 'ready' && record.release === number) {
    return {
      ...(startedFresh === undefined ? {} : { startedFresh }),
      ...(before === undefined ? {} : { before }),
    };
  }
  if (isFresh(record)) return { startedFresh: true };
  const wanted = wantedOf(record);
  const base = wanted?.proven === true ? wanted : previousOf(record);
  return base === undefined || base.number === number ? {} : { before: base.number };
}

/** Nothing is to serve now: stopped, or started from there by a release that has not served yet. */
function isFresh(record: ComponentRecord): boolean {
  if (record.status !== 'ready') return true;
  return record.startedFresh === true && wantedOf(record)?.proven !== true;
}

/** What was settled on last, and what containers were made from. */
function stillNeeded(record: ComponentRecord): readonly (number | undefined)[] {
  const proven = record.releases.filter((r) => r.proven).at(-1)?.number;
  return [proven, ...Object.values(record.marks).map((m) => m.release)];
}

/** `at`: epoch milliseconds, which the fleet's memory keeps if there is one. */
export function withProven(given: ComponentRecord, number: number, at?: number): ComponentRecord {
  const record = isOnTrial(given) ? withoutCanary(given) : given;
  const releases = record.releases.map((r) => (r.number === number ? { ...r, proven: true } : r));
  const { fleet } = record;
  if (fleet === undefined || at === undefined || record.release !== number) return { ...record, releases };
  return { ...record, releases, fleet: { ...fleet, provenAt: at } };
}

/** Desired goes back to the release before, or to `stopped` when there is none; the fleet's memory says why. */
export function withFailedRelease(record: ComponentRecord, number: number, reason: string): ComponentRecord {
  if (record.release !== number) return record;
  return { ...withFailure(takenBack(record), reason), reason };
}

function withFailure(record: ComponentRecord, why: string): ComponentRecord {
  const { fleet } = record;
  if (fleet === undefined) return record;
  const { generation, attempt } = fleet;
  return { ...record, fleet: { ...fleet, failed: { generation, attempt, why } } };
}

/** As a failed release, but nothing failed: it may be adopted again. One that is proven stays what is wanted. */
export function withTakenBack(record: ComponentRecord, fleet?: FleetMemory): ComponentRecord {
  const wanted = wantedOf(record);
  if (record.status !== 'ready' || wanted === undefined || wanted.proven) return record;
  return withFleet(takenBack(record), fleet);
}

function takenBack(record: ComponentRecord): ComponentRecord {
  const previous = previousOf(record);
  if (previous === undefined) return { ...withoutCanary(record), status: 'stopped' };
  const { before: _, ...rest } = scaledBack(withoutCanary(record));
  return { ...rest, release: previous.number };
}

export function withStatus(
  record: ComponentRecord,
  status: DesiredStatus,
  fleet?: FleetMemory,
): ComponentRecord {
  return withFleet({ ...record, status }, fleet);
}

function withFleet(record: ComponentRecord, fleet: FleetMemory | undefined): ComponentRecord {
  return fleet === undefined ? record : { ...record, fleet };
}

export function withMark(record: ComponentRecord, id: ContainerId, mark: Mark): ComponentRecord {
  return { ...record, marks: { ...record.marks, [id]: { ...record.marks[id], ...mark } } };
}

/**
 * Who serves from now on and, given in `off`, who no longer does: as marks, which is what a later agent goes by. The
 * same record when that is known already.
 */
export function withServing(
  record: ComponentRecord,
  on: readonly ContainerId[],
  off: readonly ContainerId[],
  at: number,
): ComponentRecord {
  const begun = on.filter((id) => record.marks[id]?.servedAt === undefined);
  const back = on.filter((id) => record.marks[id]?.unroutedAt !== undefined);
  if (begun.length + back.length + off.length === 0) return record;
  const routed = begun.reduce((r, id) => withMark(r, id, { servedAt: at }), withoutUnrouted(record, back));
  return off.reduce((r, id) => withMark(r, id, { unroutedAt: at }), routed);
}

function withoutUnrouted(record: ComponentRecord, ids: readonly ContainerId[]): ComponentRecord {
  const marks = Object.entries(record.marks).map(([id, mark]) => {
    const { unroutedAt: _, ...rest } = mark;
    return [id, ids.includes(id) ? rest : mark] as const;
  });
  return { ...record, marks: Object.fromEntries(marks) };
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
  if (text === undefined) return EMPTY_RECORD;
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
  const { status, release, releases, marks, linkPorts, fleet } = value;
  const numbered = typeof release === 'number' && Array.isArray(releases);
  const follows = fleet === undefined || isFleetMemory(fleet);
  return typeof status === 'string' && numbered && isObject(marks) && isObject(linkPorts) && follows;
}

function isFleetMemory(value: unknown): boolean {
  if (!isObject(value)) return false;
  return [value.generation, value.attempt, value.settled].every((v) => typeof v === 'number');
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
