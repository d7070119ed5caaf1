/** What a box has room for, and what it would never run. */
import { hostname } from 'node:os';
import type { Job } from '../../config/job.ts';
import { GantryError } from '../../errors.ts';
import { listRuns } from '../../jobs/intents/intents.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import { canRunOn } from '../../jobs/runs.ts';
import { defaultSlots } from './box.ts';

/** Whether the runner of a box would begin one more now. */
export async function hasRoom(fleet: JobFleet): Promise<boolean> {
  return (await listRuns(fleet, { active: true })).length < defaultSlots();
}

/** On one box: what its constraints keep away from here would wait for ever. Throws usage. */
export function refuseElsewhere(job: Job): void {
  const why = canRunOn({ job }, { host: hostname(), labels: {} });
  if (why === undefined) return;
  throw new GantryError('usage', `This box would never run it: ${why}`, {
    hint: 'Without etcd there is this host alone, and it has no labels. Leave the constraint out.',
  });
}
