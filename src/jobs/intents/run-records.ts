/** How the records of runs are looked up and created: what commands about runs and about schedules share. */
import { type RunValue, readRun } from '../../cluster/job-values.ts';
import type { ProjectKeys } from '../../cluster/keys.ts';
import type { Condition, Entry } from '../../cluster/store.ts';
import type { Job } from '../../config/job.ts';
import { GantryError } from '../../errors.ts';
import type { JobFleet } from '../job-fleet.ts';
import type { Step } from './transact.ts';

/**
 * Of a run or schedule, as JSON: etcd takes requests of 1.5 MiB, and a record grows: by how its attempts ended, with the
 * last lines of each, and by what is told of each step. One that could not be written any more would never end.
 */
export const MAX_RECORD_BYTES = 800_000;
/** What is told of a step that has ended. */
const STATUS_BYTES = 300;

export interface RunLook {
  readonly run: RunValue;
  /** Its key while it is not over. */
  readonly active: Entry | undefined;
}

export function keysOf({ keys, project }: Pick<JobFleet, 'keys' | 'project'>): ProjectKeys {
  return keys.project(project);
}

/** In whichever state; undefined: there is none. */
export async function runAt(fleet: JobFleet, id: string): Promise<RunLook | undefined> {
  const keys = keysOf(fleet);
  const active = await fleet.store.get(keys.jobs.run(id));
  const underWay = readRun(active);
  if (underWay !== undefined) return { run: underWay, active };
  const over = readRun(await fleet.store.get(keys.ended(id)));
  return over && { run: over, active: undefined };
}

/** Each run once, the newest first; what cannot be read is left out. A later entry counts for more. */
export function newestFirst(entries: readonly Entry[]): RunValue[] {
  const runs = new Map(entries.flatMap((entry) => readRun(entry) ?? []).map((run) => [run.id, run]));
  return [...runs.values()].sort((a, b) => compared(b.at, a.at) || compared(b.id, a.id));
}

/** Made only if there never was one of that id. */
export function creation(keys: ProjectKeys, run: RunValue): Pick<Step<RunValue>, 'conditions' | 'writes'> {
  const key = keys.jobs.run(run.id);
  return {
    conditions: [key, keys.ended(run.id)].map((k): Condition => ({ key: k, createRevision: 0 })),
    writes: [{ kind: 'put', key, value: JSON.stringify(run) }],
  };
}

/** The same run, however far it is by now. */
export function isSame(a: RunValue, b: RunValue): boolean {
  return a.id === b.id && a.by === b.by && a.at === b.at;
}

/** usage, with what the sizes mean. `what`: as `the job`. */
export function refuseTooLarge(what: string, record: object, { steps }: Job): void {
  const bytes = Buffer.byteLength(JSON.stringify(record)) + steps.length * STATUS_BYTES;
  if (bytes <= MAX_RECORD_BYTES) return;
  const message = `${what} is too large: its record takes ${bytes} bytes, and at most ${MAX_RECORD_BYTES} can be stored`;
  throw new GantryError('usage', message, {
    hint: 'Give a large input with --input instead of in the file, and large values as files or secrets.',
  });
}

function compared(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
