/**
 * What people ask about runs: to make, cancel, find, list and remove them, as transactions. The same on a fleet and on
 * one box. What is asked of schedules is in schedule-intents.ts; what hosts do about all of it is not decided here.
 */
import { randomUUID } from 'node:crypto';
import { type ExecutorValue, type RunInput, type RunValue, readExecutor } from '../../cluster/job-values.ts';
import { lastPart } from '../../cluster/keys.ts';
import { type Condition, startingWith } from '../../cluster/store.ts';
import type { Job } from '../../config/job.ts';
import { didYouMean } from '../../config/suggest.ts';
import { GantryError } from '../../errors.ts';
import type { JobFleet } from '../job-fleet.ts';
import type { TakeRun } from '../jobs-host.ts';
import { cancelWanted, endWrites, isOver, newRun } from '../runs.ts';
import { audited, imagesOf } from './audited.ts';
import { isRunId, runId } from './run-id.ts';
import { creation, isSame, keysOf, newestFirst, refuseTooLarge, runAt } from './run-records.ts';
import { carryOut, deleteAll, type Step, unknownWhether } from './transact.ts';

export {
  deleteSchedule,
  getSchedule,
  listSchedules,
  pushSchedule,
  runSchedule,
  scheduleHistory,
  suspendSchedule,
} from './schedule-intents.ts';

/** Runs that a beginning of an id is told to fit. */
const MAX_NAMED = 8;

export interface Submission {
  readonly input: RunInput;
  /** Given where a name is to be used once; the run is made, or usage tells that it is there. */
  readonly id?: string;
  /** Of the host that is to begin it at once, where it can; on one box only, whose store does not lose answers. */
  readonly take?: (run: RunValue, conditions: readonly Condition[]) => ReturnType<TakeRun>;
}

/** Makes a run of the job, for a host to claim. usage: the record is too large, or the id is unfit or taken. */
export async function submitRun(
  fleet: JobFleet,
  job: Job,
  { input, id, take }: Submission,
): Promise<RunValue> {
  if (id !== undefined && !isRunId(id)) throw unfit(id);
  const make = () => {
    const at = fleet.now();
    return newRun({ id: id ?? runId(job.name, at), job, input, by: fleet.by, at });
  };
  return (take && (await takenRun(fleet, make(), take))) ?? createRun(fleet, make);
}

/** undefined: it was not made. */
async function takenRun(
  fleet: JobFleet,
  run: RunValue,
  take: NonNullable<Submission['take']>,
): Promise<RunValue | undefined> {
  refuseTooLarge('the job', run, run.job);
  const isTaken = await take(run, creation(keysOf(fleet), run).conditions);
  return isTaken === true ? run : undefined;
}

/** `id`, here and below: whole, or how no other one begins. Over already: as it is. run-unknown, usage. */
export async function cancelRun(fleet: JobFleet, id: string, why?: string): Promise<RunValue> {
  const found = await findRun(fleet, id);
  const asked = { action: 'job cancel', on: [found.id], id: randomUUID(), at: fleet.now() };
  return carryOut(fleet, async (lost) => {
    const look = await runAt(fleet, found.id);
    // Nothing may be kept of it once it has been cancelled.
    if (look === undefined && lost !== undefined) return { result: lost, conditions: [], writes: [] };
    if (look === undefined) throw await runUnknown(fleet, found.id);
    const { run, active } = look;
    const wanted = cancelWanted(run, fleet.by, fleet.now(), why);
    if (wanted === run || active === undefined) return { result: run, conditions: [], writes: [] };
    const writes = isOver(wanted)
      ? endWrites(keysOf(fleet), wanted)
      : [{ kind: 'put', key: active.key, value: JSON.stringify(wanted) } as const];
    return {
      result: wanted,
      conditions: [{ key: active.key, modRevision: active.modRevision }],
      writes: [...writes, ...audited(fleet, asked)],
    };
  });
}

/** run-unknown, or usage when several begin so. */
export async function findRun(fleet: JobFleet, text: string): Promise<RunValue> {
  if (text === '') throw new GantryError('usage', 'A run is named by its id, or how that begins');
  const whole = await runAt(fleet, text);
  if (whole !== undefined) return whole.run;
  const begun = await runsThatBegin(fleet, text);
  const [only, second] = begun;
  if (only !== undefined && second === undefined) return only;
  if (only === undefined) throw await runUnknown(fleet, text);
  const names = begun.slice(0, MAX_NAMED).map((run) => run.id);
  const more = begun.length > names.length ? ` and ${begun.length - names.length} more` : '';
  throw new GantryError('usage', `Several runs begin with ${text}: ${names.join(', ')}${more}`, {
    hint: 'Give more of the id.',
  });
}

/** Newest first. `active`: only those that are not over. */
export async function listRuns(fleet: JobFleet, { active = false } = {}): Promise<RunValue[]> {
  const keys = keysOf(fleet);
  const underWay = await fleet.store.list(keys.jobs.runs());
  // After the others: a run that ends in between is in both, never in none.
  const over = active ? [] : (await fleet.store.list(keys.allEnded())).entries;
  return newestFirst([...underWay.entries, ...over]);
}

/** Removes the record of a run that is over. run-unknown, run-active. */
export async function removeRun(fleet: JobFleet, id: string): Promise<RunValue> {
  const run = await findRun(fleet, id);
  if (!isOver(run)) {
    const message = `${run.id} is ${run.state === 'pending' ? 'waiting to be run' : 'under way'}`;
    throw new GantryError('run-active', message, { hint: `Cancel it first: job cancel ${run.id}` });
  }
  const asked = { action: 'job rm', on: [run.id], id: randomUUID(), at: fleet.now() };
  await deleteAll(fleet, [keysOf(fleet).ended(run.id)], audited(fleet, asked));
  return run;
}

/** Removes the records of all runs that are over; answers their ids. */
export async function pruneRuns(fleet: JobFleet): Promise<string[]> {
  const { entries } = await fleet.store.list(keysOf(fleet).allEnded());
  if (entries.length === 0) return [];
  const detail = entries.length === 1 ? '1 run' : `${entries.length} runs`;
  const asked = { action: 'job prune', on: [], detail, id: randomUUID(), at: fleet.now() };
  await deleteAll(
    fleet,
    entries.map(({ key }) => key),
    audited(fleet, asked),
  );
  return entries.map(({ key }) => lastPart(key));
}

/** The hosts that run jobs now, by name. */
export async function listExecutors(fleet: JobFleet): Promise<ExecutorValue[]> {
  const { entries } = await fleet.store.list(keysOf(fleet).jobs.executors());
  return entries.flatMap((entry) => readExecutor(entry) ?? []);
}

/** A new run for nobody to have made before: `make` is asked anew where its id was taken meanwhile. */
async function createRun(fleet: JobFleet, make: () => RunValue): Promise<RunValue> {
  let run = make();
  refuseTooLarge('the job', run, run.job);
  return carryOut(fleet, async (lost): Promise<Step<RunValue>> => {
    const found = (await runAt(fleet, run.id))?.run;
    if (found !== undefined && lost !== undefined && isSame(found, run))
      return { result: found, conditions: [], writes: [] };
    // It may be over and forgotten by now: to make it again could run it twice.
    if (found === undefined && lost?.job.remove === true) throw unknownWhether(undefined);
    if (found !== undefined) run = another(run, make());
    const made = creation(keysOf(fleet), run);
    const at = Date.parse(run.at);
    const asked = { action: 'job run', on: [run.id], detail: imagesOf(run.job), id: run.id, at };
    return { result: run, ...made, writes: [...made.writes, ...audited(fleet, asked)] };
  });
}

function another(taken: RunValue, next: RunValue): RunValue {
  if (taken.id !== next.id) return next;
  throw new GantryError('usage', `There is a run ${taken.id} already`, { hint: 'Give another id.' });
}

function unfit(id: string): GantryError {
  return new GantryError('usage', `${JSON.stringify(id)} cannot be the id of a run`, {
    hint: 'It begins with a letter or digit, and goes on with letters, digits, `_`, `.` or `-`.',
  });
}

async function runsThatBegin(fleet: JobFleet, text: string): Promise<RunValue[]> {
  const keys = keysOf(fleet);
  const active = await fleet.store.list(startingWith(keys.jobs.run(text)));
  const over = await fleet.store.list(startingWith(keys.ended(text)));
  return newestFirst([...active.entries, ...over.entries]);
}

async function runUnknown(fleet: JobFleet, text: string): Promise<GantryError> {
  const runs = await listRuns(fleet);
  const meant = didYouMean(
    text,
    runs.map((run) => run.id),
  );
  return new GantryError('run-unknown', `${fleet.project} has no run ${text}${meant}`, {
    hint: 'See what there is with: job list',
  });
}
