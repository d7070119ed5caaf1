/** Whether a runner does what a `job run` command asks, as that would do it itself. */
import { isAbsolute, resolve } from 'node:path';
import type { Job } from '../../config/job.ts';
import { messageOf } from '../../errors.ts';
import type { JobFleet } from '../../jobs/job-fleet.ts';
import { PACKAGE_ROOT, VERSION } from '../../version.ts';
import { whoAsks } from '../access/who-asks.ts';
import { lingerOf, type RunJobArguments, withJobRun } from '../jobs/options.ts';
import type { Box, Place } from '../jobs/place.ts';
import { jobOfArguments } from '../jobs/source.ts';
import { hasRoom } from '../jobs/waiting.ts';
import { withCommon } from '../options.ts';
import { yargs } from '../yargs.ts';
import { differingVariable } from './environment.ts';
import type { Request } from './frames.ts';

/** What is to be run, for whom. */
export interface Order {
  readonly args: RunJobArguments;
  readonly job: Job;
  readonly fleet: JobFleet;
  readonly lingerMs: number;
}

export class Declined {
  readonly why: string;
  /** The command is of another version: this runner is not to stay. */
  readonly isOutdated: boolean;

  constructor(why: string, isOutdated = false) {
    this.why = why;
    this.isOutdated = isOutdated;
  }
}

/** Whatever is wrong with the command line is told best by the command itself. */
export async function judged(
  request: Request,
  place: Place & { readonly box: Box },
): Promise<Order | Declined> {
  if (request.version !== VERSION || request.root !== PACKAGE_ROOT)
    return new Declined('it is another version', true);
  const differs = differingVariable(request.env, process.env);
  if (differs !== undefined) return new Declined(`${differs} is another one there`);
  try {
    const args = await parsed(request.words);
    const why = refusal(args, place.box);
    if (why !== undefined) return new Declined(why);
    const fleet = { ...place.fleet, by: whoAsks(request.env) };
    if (!(await hasRoom(fleet))) return new Declined('all its slots are taken');
    const job = await jobOfArguments(args, { ...place, fleet }, request.env);
    return { args, job, fleet, lingerMs: lingerOf(args.linger ?? (request.env.GANTRYD_LINGER || undefined)) };
  } catch (error) {
    return new Declined(messageOf(error));
  }
}

async function parsed(words: readonly string[]): Promise<RunJobArguments> {
  const parser = withJobRun(withCommon(yargs([]).scriptName('gantry')), 'gantry')
    .strict()
    .help(false)
    .version(false)
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new Error(message);
    });
  return { ...(await parser.parseAsync(words)), program: 'gantry' };
}

function refusal(args: RunJobArguments, box: Box): string | undefined {
  const { stateDir, docker, detach, input } = args;
  if (detach) return 'it is not waited for';
  if (input !== undefined) return 'it has an input of its own';
  if ([args.envFile, args.secret].some(({ length }) => length > 0) || args.registryAuth !== undefined)
    return 'it reads files of its own';
  if (stateDir !== undefined && !(isAbsolute(stateDir) && resolve(stateDir) === box.stateDir))
    return 'it has another state directory';
  return docker === undefined || docker === box.docker ? undefined : 'it has another engine';
}

/** With which words a command goes on with its run. */
export function attachWords(
  { json, logLevel, showLogs, remove, docker }: RunJobArguments,
  box: Box,
  run: string,
) {
  return [
    ...['job', 'attach', run, '--state-dir', box.stateDir, '--log-level', logLevel],
    ...(json ? ['--json'] : []),
    ...(showLogs ? [] : ['--no-show-logs']),
    ...(remove ? ['--remove'] : []),
    ...(docker === undefined ? [] : ['--docker', docker]),
  ];
}
