/** `job run`, `job submit` and `job log`: the commands that tell what a run prints. */
import type { RunValue } from '../../cluster/job-values.ts';
import type { Job } from '../../config/job.ts';
import { GantryError, isGantryError, messageOf } from '../../errors.ts';
import { runDocument } from '../../jobs/intents/documents.ts';
import { cancelRun, findRun, listRuns, submitRun } from '../../jobs/intents/intents.ts';
import { refuseNowhere } from '../../jobs/intents/waiting.ts';
import { isOver } from '../../jobs/runs.ts';
import { interruptible } from '../interrupt.ts';
import { outputOf } from '../output.ts';
import { cancelling, ensureExecuted, INTERRUPTED, keptUntilTold, told, whileExecuted } from './attended.ts';
import { type Followed, followRun } from './follow.ts';
import { type GivenInput, readInput } from './input.ts';
import {
  type JobArguments,
  type JobLogArguments,
  lingerOf,
  type RunJobArguments,
  type SubmitArguments,
} from './options.ts';
import { type Place, withPlace } from './place.ts';
import { leftAlone, openSink, type Sink } from './sink.ts';
import { jobOfArguments, jobOfFile } from './source.ts';
import { hasRoom, refuseElsewhere } from './waiting.ts';

export async function runJob(args: RunJobArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const here = args.detach ? undefined : await readyHere(place);
    const job = await jobOfArguments(args, place);
    const given = await readInput(args.input);
    if (args.detach) return leave(args, place, await submitted(place, job, given), given);
    const sink = openSink({ json: args.json, level: args.logLevel, showLogs: args.showLogs });
    const run = await attached(place, keptUntilTold(job, args.remove), given, sink, here);
    const code = await told(place, run, sink, args.remove);
    // How the run ended is what the command ends with, also where no runner can be started.
    await leaveRunner(args, place).catch((error) => sink.note(`No runner is left: ${messageOf(error)}`));
    return code;
  });
}

export async function runSubmit(args: SubmitArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const job = await jobOfFile(args.file);
    const given = await readInput(args.input);
    if (!args.follow) return leave(args, place, await submitted(place, job, given), given);
    const sink = openSink({ json: args.json, level: args.logLevel, showLogs: true });
    const run = await submitted(place, job, given);
    sink.note(`Run ${run.id}`);
    return sink.ended(await watched(args, place, { run, sink, ...stillToGive(place, given) }));
  });
}

export async function runJobLog(args: JobLogArguments): Promise<number> {
  return withPlace(args, async (place) => {
    const run = await findRun(place.fleet, args.id);
    const unread = new AbortController();
    const onUnread = () => unread.abort();
    const sink = openSink({ json: args.json, level: args.logLevel, showLogs: true, onUnread });
    const tail = args.tail === undefined ? {} : { tail: args.tail };
    if (args.follow && !isOver(run)) {
      await watched(args, place, { run, sink, ...tail }, unread.signal);
      return 0;
    }
    await interruptible(async (signal) => {
      const query = { follow: false, ...tail };
      const files = await place.files(run);
      for await (const { entry } of files.log(run.id, query, signal)) {
        await sink.entry(entry);
        if (unread.signal.aborted) break;
      }
    });
    return 0;
  });
}

/** The next one is sooner run by a process that is there. Where none is wanted, it is only to remove what has expired. */
async function leaveRunner({ linger }: RunJobArguments, place: Place): Promise<void> {
  const { box, fleet } = place;
  if (box === undefined) return;
  const lingerMs = lingerOf(linger);
  if (lingerMs > 0) return (await import('../runner/start.ts')).ensureRunner(box, { lingerMs });
  const runs = await listRuns(fleet);
  const isOld = ({ endedAt, job }: RunValue) =>
    endedAt !== undefined && Date.parse(endedAt) + job.keepMs < fleet.now();
  if (runs.some(isOld)) await ensureExecuted(place);
}

/** Follows a run that somebody else executes; Ctrl-C leaves it alone, and so does `unread`. Its last record. */
export async function watched(
  { program }: JobArguments,
  place: Place,
  what: Omit<Followed, 'place'>,
  unread = new AbortController().signal,
): Promise<RunValue> {
  const ended = await whileExecuted(place, () =>
    interruptible((signal) => followRun({ ...what, place }, AbortSignal.any([signal, unread]))),
  );
  if (ended === undefined && !unread.aborted) throw leftAlone(what.run.id, program);
  return ended ?? what.run;
}

/** Refused when nobody could run it now. */
async function submitted(place: Place, job: Job, { input, source }: GivenInput): Promise<RunValue> {
  const { fleet, box } = place;
  if (box === undefined) await refuseNowhere(fleet, job);
  else refuseElsewhere(job);
  const run = await submitRun(fleet, job, { input });
  if (box === undefined || source === undefined) return run;
  return uploaded(place, run, source);
}

/** On this box it is put where it will be read. */
async function uploaded(
  place: Place,
  run: RunValue,
  source: NonNullable<GivenInput['source']>,
): Promise<RunValue> {
  const bytes = source.open();
  if (bytes === undefined) return run;
  try {
    const files = await place.files(run);
    await interruptible((signal) => files.input(run.id, bytes, signal));
    return run;
  } catch (error) {
    await cancelRun(place.fleet, run.id, 'its input could not be read');
    if (isGantryError(error)) throw error;
    throw new GantryError('interrupted', `Interrupted; ${run.id} is cancelled`, { cause: error });
  }
}

/** Prints its id, once its input is where it is needed. */
async function leave(args: JobArguments, place: Place, run: RunValue, given: GivenInput): Promise<number> {
  await ensureExecuted(place);
  const output = outputOf(args);
  if (given.source !== undefined && place.box === undefined) {
    const sink = openSink({ json: args.json, level: args.logLevel, showLogs: false });
    const followed = { place, run, sink, input: given.source, untilFed: true };
    const fed = await interruptible((signal) => followRun(followed, signal));
    if (fed === undefined) {
      await cancelRun(place.fleet, run.id, 'its input was not given whole');
      throw new GantryError('interrupted', `Interrupted; ${run.id} is cancelled`);
    }
  }
  output.document(runDocument(run), run.id);
  return 0;
}

/** Executes a run in this process; false: it is somebody else's. */
type RunHere = (run: RunValue, sink: Sink) => Promise<boolean>;

/** On a box without a runner that has time for it. What it takes is loaded while the rest goes on. */
async function readyHere({ box, fleet }: Place): Promise<RunHere | undefined> {
  if (box === undefined) return undefined;
  const { runnerPid } = await import('../runner/pid.ts');
  if ((await runnerPid(box.stateDir)) !== undefined && (await hasRoom(fleet))) return undefined;
  const [{ runHere }, { loadExecuting }] = await Promise.all([import('./here.ts'), import('./box.ts')]);
  const loading = loadExecuting(box);
  loading.catch(() => undefined); // told to whoever awaits it
  return (run, sink) => runHere(box, fleet, run, sink, loading);
}

/** Runs it and tells what it prints; Ctrl-C cancels it. Its last record. */
function attached(
  place: Place,
  job: Job,
  given: GivenInput,
  sink: Sink,
  here: RunHere | undefined,
): Promise<RunValue> {
  return interruptible(async (interrupted) => {
    const run = await submitted(place, job, given);
    const stopCancelling = cancelling(place, run, sink, interrupted);
    try {
      return await untilEnd(place, run, given, sink, here);
    } finally {
      await stopCancelling();
    }
  }, INTERRUPTED);
}

async function untilEnd(
  place: Place,
  run: RunValue,
  given: GivenInput,
  sink: Sink,
  here: RunHere | undefined,
): Promise<RunValue> {
  if (await here?.(run, sink)) return findRun(place.fleet, run.id);
  const { attempt, startedAt: since } = await findRun(place.fleet, run.id);
  // Earlier attempts were told of here.
  const rest = attempt > 1 && since !== undefined && place.box !== undefined ? { since } : {};
  const followed = { place, run, sink, ...rest, ...stillToGive(place, given) };
  const ended = await whileExecuted(place, () => followRun(followed, new AbortController().signal));
  return ended ?? findRun(place.fleet, run.id);
}

/** To whoever claims it; on a box it was put where it is read when the run was submitted. */
function stillToGive({ box }: Place, { source }: GivenInput): Pick<Followed, 'input'> {
  return box !== undefined || source === undefined ? {} : { input: source };
}
