/** The entry of the audit for what somebody asks of runs and schedules; on one box there is none. */
import { auditWrite } from '../../cluster/audit.ts';
import type { Write } from '../../cluster/store.ts';
import type { Job } from '../../config/job.ts';
import type { JobFleet } from '../job-fleet.ts';
import { keysOf } from './run-records.ts';

/** Of a pipeline. */
const MAX_IMAGES = 5;

export interface AskedOfJobs {
  /** As the command is called. */
  readonly action: string;
  /** Ids of runs, or the name of a schedule. */
  readonly on: readonly string[];
  readonly detail?: string;
  /** Of the command: its second try is the same entry. */
  readonly id: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** To be written in the transaction that does what was asked. */
export function audited(fleet: JobFleet, asked: AskedOfJobs): readonly Write[] {
  return fleet.isBox === true ? [] : [auditWrite(keysOf(fleet), { ...asked, by: fleet.by })];
}

/** What may be said of a job: never its commands, environment or input. */
export function imagesOf({ steps }: Job): string {
  const images = steps.slice(0, MAX_IMAGES).map(({ image }) => image);
  const more = steps.length - images.length;
  return `${images.join(' | ')}${more > 0 ? ` and ${more} more` : ''}`;
}
