/** The jobs of a project as the API asks about them: who asks, and where what its runs leave on disk is to be had. */
import type { Readable } from 'node:stream';
import type { RunValue } from '../../cluster/job-values.ts';
import { projectName } from '../../config/name.ts';
import { GantryError, isGantryError } from '../../errors.ts';
import type { ReadEntry } from '../../jobs/disk/run-log.ts';
import { findRun } from '../../jobs/intents/intents.ts';
import { untilBegun } from '../../jobs/intents/until.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import { isOver } from '../../jobs/runs.ts';
import { pause } from '../../poke.ts';
import type { ApiAround } from '../around.ts';
import type { Caller } from '../route.ts';
import type { LogQuery } from '../wire.ts';
import type { RunFiles } from './job-server.ts';
import { filesOf, refuseWithoutOutput } from './run-elsewhere.ts';
import { runFilesIn } from './run-files.ts';

/** How long whoever sends an input waits for a host that takes it. */
const INPUT_WAIT_MS = 30_000;
/** Of one look after another: a caller that follows waits for as long as it likes. */
const BEGIN_WAIT_MS = 60_000;
/** A run that has just begun has its folder soon. */
const SOON_MS = 50;
const NEVER = new AbortController().signal;

export function jobFleet(
  { store, keys, now }: ApiAround,
  project: string | undefined,
  { by }: Caller,
): JobFleet {
  return { store, keys, project: projectName(project ?? ''), by, now };
}

/**
 * Of any run of the project, wherever that is executed. A log that is followed begins when its run does, and an input
 * waits for the host that takes it.
 */
export function projectFiles(around: ApiAround, fleet: JobFleet): RunFiles {
  return {
    log: (id, query, signal) => log(around, fleet, id, query, signal),
    async output(id) {
      const run = await findRun(fleet, id);
      refuseWithoutOutput(run);
      return (await filesFor(around, fleet, run)).output(run.id);
    },
    input: (id, bytes, signal) => input(around, fleet, id, bytes, signal),
  };
}

/** Of a run that some host has, or had, in its hands. Throws output-gone. */
export async function filesFor(around: ApiAround, fleet: JobFleet, run: RunValue): Promise<RunFiles> {
  const { stateDir, host, project } = around;
  const isHere = stateDir !== undefined && run.host === host && fleet.project === project;
  return isHere ? runFilesIn(stateDir, fleet.project, { begunOnly: true }) : filesOf(fleet, run);
}

async function* log(
  around: ApiAround,
  fleet: JobFleet,
  named: string,
  query: LogQuery,
  signal: AbortSignal,
): AsyncGenerator<ReadEntry, void, undefined> {
  const { id } = await findRun(fleet, named);
  for (let told = false; !signal.aborted; await pause(SOON_MS, signal)) {
    const run = query.follow ? await untilBegun(fleet, id, BEGIN_WAIT_MS, signal) : await findRun(fleet, id);
    if (run.state === 'pending' && query.follow) continue;
    try {
      const files = await filesFor(around, fleet, run);
      for await (const read of files.log(run.id, query, signal)) {
        told = true;
        yield read;
      }
      return;
    } catch (error) {
      if (told || !query.follow || isOver(run) || !isNotYetThere(error)) throw error;
    }
  }
}

async function input(
  around: ApiAround,
  fleet: JobFleet,
  named: string,
  bytes: Readable,
  signal: AbortSignal,
): Promise<void> {
  const { id } = await findRun(fleet, named);
  const run = await untilBegun(fleet, id, INPUT_WAIT_MS, signal);
  refuseInput(run);
  const files = await filesFor(around, fleet, run);
  await takesInput(files, run, signal);
  await files.input(run.id, bytes, signal);
}

function refuseInput({ id, state, input: { kind } }: RunValue): void {
  if (kind === 'upload' && (state === 'pending' || state === 'running')) return;
  const why = kind === 'upload' ? 'it is over' : 'it was made without one to come';
  throw new GantryError('usage', `${id} takes no input: ${why}`, {
    hint: 'A run that is made with ?input=upload waits for its input.',
  });
}

/** What is sent is sent once: so not before the host has a place for it. */
async function takesInput(files: RunFiles, { id }: RunValue, signal: AbortSignal): Promise<void> {
  const end = performance.now() + INPUT_WAIT_MS;
  for (;;) {
    try {
      for await (const _ of files.log(id, { follow: false, tail: 1 }, NEVER)) break;
      return;
    } catch (error) {
      if (!isNotYetThere(error) || performance.now() >= end || signal.aborted) throw error;
    }
    await pause(SOON_MS, signal);
  }
}

function isNotYetThere(error: unknown): boolean {
  return isGantryError(error, 'output-gone') && !error.retryable;
}
