/**
 * The process that runs what no command waits for on one box: detached runs and schedules. Started when there is
 * something for it, one for each state directory, and ends by itself when nothing is left; or kept by systemd.
 */
import { join } from 'node:path';
import { codeOf, GantryError, isGantryError } from '../../errors.ts';
import type { AgentEvent } from '../../events.ts';
import { listRuns, listSchedules } from '../../jobs/intents/intents.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import type { TakeRun } from '../../jobs/jobs-host.ts';
import { withLock } from '../../lock.ts';
import { keepYoungHeapSmall } from '../../young-heap.ts';
import { interruptible } from '../interrupt.ts';
import { runBoxHost } from '../jobs/box.ts';
import { lingerOf, type RunnerArguments } from '../jobs/options.ts';
import { withPlace } from '../jobs/place.ts';
import { openOutput } from '../output.ts';
import { RunnerLog } from './log.ts';
import { commandOf, RUNNER_LOCK, runnerPid } from './pid.ts';
import { type BoxPlace, RunnerSelf, serveRunner } from './server.ts';

/** Nothing to do for so long, and it ends, where nobody says. */
const IDLE_MS = 10_000;
/** Another runner that has just ended gives the lock back. */
const LOCK_MS = 1_000;
/** One that was asked to leave lets go of what runs first. */
const RELIEVED_MS = 30_000;
const LOG = join('jobs', 'runner.log');
export async function runRunner(args: RunnerArguments): Promise<number> {
  keepYoungHeapSmall();
  return withPlace(args, async (place) => {
    const { box } = place;
    if (box === undefined) throw new GantryError('usage', 'A runner is for one box: gantry job runner');
    const log = args.foreground ? undefined : new RunnerLog(join(box.stateDir, LOG));
    const output = openOutput({ json: args.json, level: args.logLevel });
    const emit = (event: AgentEvent) => (log === undefined ? output.event(event) : log.event(event));
    try {
      if (args.foreground) await relieve(box.stateDir);
      await interruptible((signal) => untilNothingIsLeft({ place: { ...place, box }, emit, args, signal }));
      return 0;
    } catch (error) {
      // One runs already: it sees what this one was started for.
      if (isGantryError(error, 'locked') && !args.foreground) return 0;
      log?.error(error);
      throw error;
    }
  });
}

interface Running {
  readonly place: BoxPlace;
  readonly emit: (event: AgentEvent) => void;
  readonly args: RunnerArguments;
  readonly signal: AbortSignal;
}

/**
 * Who leaves work writes it before he looks whether a runner holds the lock; so a runner that has given the lock back
 * looks once more, and nothing is left lying.
 */
async function untilNothingIsLeft({ place, emit, args, signal }: Running): Promise<void> {
  const lock = join(place.box.stateDir, RUNNER_LOCK);
  const timeoutMs = args.foreground ? RELIEVED_MS : LOCK_MS;
  const self = new RunnerSelf(args.linger === undefined ? IDLE_MS : lingerOf(args.linger));
  do {
    await withLock(lock, { timeoutMs, signal }, async () => {
      const server = await serveRunner({ place, self, emit });
      const onReady = (take: TakeRun) => {
        self.take = take;
      };
      try {
        const idle = args.foreground ? {} : { untilIdleMs: () => self.patienceMs };
        await runBoxHost(place.box, place.fleet, { ...idle, emit, onReady }, signal);
      } finally {
        self.take = undefined;
        await server.close();
      }
    });
  } while (!signal.aborted && (await hasWork(place.fleet)));
}

async function hasWork(fleet: JobFleet): Promise<boolean> {
  const [runs, schedules] = await Promise.all([listRuns(fleet, { active: true }), listSchedules(fleet)]);
  return (
    runs.some(({ state }) => state === 'pending') || schedules.some(({ schedule }) => !schedule.suspended)
  );
}

/** Has one that was started on demand leave; this one goes on with what it ran. */
async function relieve(stateDir: string): Promise<void> {
  const pid = await runnerPid(stateDir);
  if (pid === undefined || (await commandOf(pid)).includes('--foreground')) return;
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}
