/** Runs of which nobody wants to know any more, whether they are over or not. */
import { randomUUID } from 'node:crypto';
import type { RunValue } from '../../cluster/job-values.ts';
import type { JobFleet } from '../job-fleet.ts';
import { isOver } from '../runs.ts';
import { audited } from './audited.ts';
import { keysOf, runAt } from './run-records.ts';
import { carryOut, type Step } from './transact.ts';

/**
 * Nothing is kept of the run of exactly this id: its record goes now, or with its end while it is under way; that goes
 * on. False: there is none, or it was forgotten before.
 */
export function forgetRun(fleet: JobFleet, id: string): Promise<boolean> {
  const asked = { action: 'job rm', on: [id], id: randomUUID(), at: fleet.now() };
  return carryOut(fleet, async (lost): Promise<Step<boolean>> => {
    const look = await runAt(fleet, id);
    if (look === undefined || isForgotten(look.run))
      return { result: lost === true, conditions: [], writes: [] };
    const { run, active } = look;
    const noted = audited(fleet, asked);
    if (active === undefined) {
      const write = { kind: 'delete', key: keysOf(fleet).ended(id) } as const;
      return { result: true, conditions: [], writes: [write, ...noted] };
    }
    const value = JSON.stringify({ ...run, job: { ...run.job, remove: true } } satisfies RunValue);
    return {
      result: true,
      conditions: [{ key: active.key, modRevision: active.modRevision }],
      writes: [{ kind: 'put', key: active.key, value }, ...noted],
    };
  });
}

/** Under way, and gone with its end. */
export function isForgotten(run: RunValue): boolean {
  return run.job.remove && !isOver(run);
}
