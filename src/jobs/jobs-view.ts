/**
 * What the store says about jobs, read and by what it is about; kept up key by key as the mirror changes, since a
 * busy fleet tells of many steps a second. What cannot be read is as good as absent, but where absence would be news.
 */
import {
  type ClaimValue,
  type CursorValue,
  type ExecutorValue,
  type RunValue,
  readClaim,
  readCursor,
  readExecutor,
  readRun,
  readSchedule,
  type ScheduleValue,
} from '../cluster/job-values.ts';
import type { JobKeys } from '../cluster/keys.ts';
import type { Entry } from '../cluster/store.ts';

/** A value as it was at a revision of its key. */
export interface Seen<T> {
  readonly value: T;
  readonly revision: number;
}

export type JobKind = 'runs' | 'claims' | 'executors' | 'schedules' | 'cursors';

export class JobsView {
  readonly runs: Map<string, Seen<RunValue>> = new Map();
  readonly claims: Map<string, Seen<ClaimValue>> = new Map();
  readonly executors: Map<string, Seen<ExecutorValue>> = new Map();
  readonly schedules: Map<string, Seen<ScheduleValue>> = new Map();
  readonly cursors: Map<string, Seen<CursorValue>> = new Map();
  readonly #base: string;

  constructor(keys: JobKeys) {
    this.#base = keys.followed().from;
  }

  /** `changed`: the keys that may have; undefined: any. Answers what there is news about: how far a run is, is none. */
  apply(entries: ReadonlyMap<string, Entry>, changed: readonly string[] | undefined): ReadonlySet<JobKind> {
    if (changed === undefined) this.#clear();
    const kinds = new Set<JobKind>();
    for (const key of changed ?? entries.keys()) {
      const kind = this.#note(key, entries.get(key));
      if (kind !== undefined) kinds.add(kind);
    }
    return changed === undefined ? new Set(ALL_KINDS) : kinds;
  }

  /** Runs of a schedule that are not over, the oldest first. */
  activeOf(schedule: string): readonly Seen<RunValue>[] {
    const ours = [...this.runs.values()].filter(({ value }) => value.schedule?.name === schedule);
    return ours.sort((a, b) => (a.value.id < b.value.id ? -1 : 1));
  }

  /** How many runs each host has in its hands. */
  claimsByHost(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { value } of this.claims.values()) counts.set(value.host, (counts.get(value.host) ?? 0) + 1);
    return counts;
  }

  #clear(): void {
    for (const map of [this.runs, this.claims, this.executors, this.schedules, this.cursors]) map.clear();
  }

  #note(key: string, entry: Entry | undefined): JobKind | undefined {
    if (!key.startsWith(this.#base)) return undefined;
    const [kind, name = '', ...more] = key.slice(this.#base.length).split('/');
    if (name === '' || more.length > 0 || !isKind(kind)) return undefined;
    const before = this.runs.get(name)?.value;
    if (kind === 'runs') keep(this.runs, name, entry, readRun(entry));
    if (kind === 'claims') keep(this.claims, name, entry, readClaim(entry));
    if (kind === 'executors') keep(this.executors, name, entry, readExecutor(entry));
    if (kind === 'schedules') keep(this.schedules, name, entry, readSchedule(entry));
    if (kind === 'cursors') keep(this.cursors, name, entry, readCursor(entry));
    return kind === 'runs' && isOnlyFurther(before, this.runs.get(name)?.value) ? undefined : kind;
  }
}

const ALL_KINDS: readonly JobKind[] = ['runs', 'claims', 'executors', 'schedules', 'cursors'];

function isOnlyFurther(before: RunValue | undefined, after: RunValue | undefined): boolean {
  if (before === undefined || after === undefined) return false;
  const isSame = before.state === after.state && before.attempt === after.attempt;
  return isSame && before.hostId === after.hostId && before.cancel?.at === after.cancel?.at;
}

function isKind(text: string | undefined): text is JobKind {
  return ALL_KINDS.some((kind) => kind === text);
}

function keep<T>(
  all: Map<string, Seen<T>>,
  name: string,
  entry: Entry | undefined,
  value: T | undefined,
): void {
  if (entry === undefined || value === undefined) all.delete(name);
  else all.set(name, { value, revision: entry.modRevision });
}
