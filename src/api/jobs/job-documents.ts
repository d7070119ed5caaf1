/** Jobs and schedules as they come in the body of a request, checked as the command line checks a file of them. Pure. */
import type { Job, Schedule } from '../../config/job.ts';
import { parseJob } from '../../config/job-parse.ts';
import type { Problem } from '../../config/project.ts';
import { parseSchedules } from '../../config/schedule-parse.ts';
import { GantryError } from '../../errors.ts';
import { requestInvalid } from '../problem.ts';

/** Relative paths count from the root: no folder of the server is meant. */
const IN_ROOT = '/document.json';

/** Throws config-invalid with all that is wrong. */
export function jobOfBody(body: unknown): Job {
  const result = parseJob(JSON.stringify(body), { file: IN_ROOT });
  if ('job' in result) return result.job;
  throw documentInvalid('the job', result.problems);
}

/** Its name is that of its path, and need not be said again. Throws config-invalid, request-invalid. */
export function scheduleOfBody(
  name: string,
  body: Readonly<Record<string, unknown>>,
  timeZone: string,
): Schedule {
  const field = 'Name' in body || 'Cron' in body ? 'Name' : 'name';
  if (body[field] !== undefined && body[field] !== name)
    throw requestInvalid([{ pointer: `/${field}`, message: `must be the name in the path, ${name}` }]);
  const result = parseSchedules(JSON.stringify({ ...body, [field]: name }), { file: IN_ROOT, timeZone });
  if ('problems' in result) throw documentInvalid('the schedule', result.problems);
  const [schedule, second] = result.schedules;
  if (schedule !== undefined && second === undefined) return schedule;
  throw requestInvalid([{ pointer: '', message: 'must be one schedule' }]);
}

/** Without places in a text that nobody wrote so. */
export function documentInvalid(what: string, found: readonly Problem[]): GantryError {
  const problems = found.map(({ line: _, column: __, ...problem }) => problem);
  const [first] = problems;
  const place = first?.pointer ? `${first.pointer} ` : '';
  const more = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
  return new GantryError('config-invalid', `${what} cannot be used: ${place}${first?.message}${more}`, {
    hint: 'docs/jobs.md describes jobs and schedules.',
    cause: problems,
  });
}
