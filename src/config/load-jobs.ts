/** Reads job and schedule files, and throws what is wrong with them, as load.ts does for the project file. */
import type { Job, Schedule } from './job.ts';
import { parseJob } from './job-parse.ts';
import { invalid, readText } from './load.ts';
import { parseSchedules } from './schedule-parse.ts';

/** Throws GantryError config-unreadable, or config-invalid with every problem on a line of its own. */
export async function loadJob(path: string): Promise<Job> {
  return jobOrThrow(await readText(path, 'job file'), path);
}

/** The job in a text that is no file, JSON or YAML; `name` is what messages call it. Throws GantryError config-invalid. */
export function readJob(text: string, name: string): Job {
  return jobOrThrow(text, name);
}

/** `timeZone`: of schedules that name none; undefined: they must. Throws as loadJob does. */
export async function loadSchedules(
  path: string,
  { timeZone }: { readonly timeZone: string | undefined },
): Promise<readonly Schedule[]> {
  const result = parseSchedules(await readText(path, 'schedule file'), { file: path, timeZone });
  if ('schedules' in result) return result.schedules;
  throw invalid(path, path, result.problems, hintFor('Schedule files'));
}

function jobOrThrow(text: string, file: string): Job {
  const result = parseJob(text, { file });
  if ('job' in result) return result.job;
  throw invalid(file, file, result.problems, hintFor('Job files'));
}

function hintFor(files: string): string {
  return `Fix what is listed. ${files} are described in docs/jobs.md.`;
}
