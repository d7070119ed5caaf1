/** The commands `job` and `cron` of both programs. Each imports what it needs when it runs. */
import type { Argv } from 'yargs';
import type { Program } from '../usage.ts';
import {
  withAttach,
  withJobList,
  withJobLog,
  withJobRun,
  withJobs,
  withPush,
  withRunId,
  withRunIds,
  withRunner,
  withRunSchedule,
  withSchedule,
  withSubmit,
} from './options.ts';

const runs = () => import('./run.ts');
const reports = () => import('./reports.ts');
const schedules = () => import('./cron.ts');

export function withJobCommands(parser: Argv, program: Program, done: (code: number) => void): Argv {
  return parser
    .command('job', 'Containers that end: run them once, or a few one after the other', (y) =>
      jobCommands(y, program, done).demandCommand(1, 'Say what to do.'),
    )
    .command('cron', 'Schedules that make runs of jobs', (y) =>
      cronCommands(y, program, done).demandCommand(1, 'Say what to do.'),
    );
}

function jobCommands(parser: Argv, program: Program, done: (code: number) => void): Argv {
  const all = parser
    .command(
      'run',
      'Run one container to its end; prints what it prints, and ends as it ends',
      (y) => withJobRun(y, program),
      async (args) => done(await (await runs()).runJob({ ...args, program })),
    )
    .command(
      'submit <file>',
      'Have a job of one or more steps run',
      (y) => withSubmit(y, program),
      async (args) => done(await (await runs()).runSubmit({ ...args, program })),
    )
    .command(
      'list',
      'The runs that are not over, or all',
      (y) => withJobList(y, program),
      async (args) => done(await (await reports()).runJobList({ ...args, program })),
    )
    .command(
      'show <id>',
      'A run with its steps',
      (y) => withRunId(y, program),
      async (args) => done(await (await reports()).runShow({ ...args, program })),
    )
    .command(
      'log <id>',
      'What a run printed',
      (y) => withJobLog(y, program),
      async (args) => done(await (await runs()).runJobLog({ ...args, program })),
    )
    .command(
      'output <id>',
      'The output of the last step, byte for byte',
      (y) => withRunId(y, program),
      async (args) => done(await (await reports()).runOutput({ ...args, program })),
    )
    .command(
      'cancel <id..>',
      'End runs',
      (y) => withRunIds(y, program),
      async (args) => done(await (await reports()).runCancel({ ...args, program })),
    )
    .command(
      'rm <id..>',
      'Forget runs that are over',
      (y) => withRunIds(y, program),
      async (args) => done(await (await reports()).runRemove({ ...args, program })),
    )
    .command(
      'prune',
      'Forget all runs that are over',
      (y) => withJobs(y, program),
      async (args) => done(await (await reports()).runPrune({ ...args, program })),
    );
  if (program === 'gantryd') return all;
  return all
    .command(
      'attach <id>',
      false,
      (y) => withAttach(y, program),
      async (args) => done(await (await import('./attended.ts')).runAttach({ ...args, program })),
    )
    .command(
      'runner',
      false,
      (y) => withRunner(y, program),
      async (args) => done(await (await import('../runner/runner.ts')).runRunner({ ...args, program })),
    );
}

function cronCommands(parser: Argv, program: Program, done: (code: number) => void): Argv {
  return parser
    .command(
      'push [file]',
      'Create or replace schedules',
      (y) => withPush(y, program),
      async (args) => done(await (await schedules()).runPush({ ...args, program })),
    )
    .command(
      'list',
      'The schedules, and when they fire',
      (y) => withJobs(y, program),
      async (args) => done(await (await schedules()).runCronList({ ...args, program })),
    )
    .command(
      'get <name>',
      'A schedule, what is wrong with it, and its last runs',
      (y) => withSchedule(y, program),
      async (args) => done(await (await schedules()).runGet({ ...args, program })),
    )
    .command(
      'delete <name>',
      'Delete a schedule and forget its runs',
      (y) => withSchedule(y, program),
      async (args) => done(await (await schedules()).runDelete({ ...args, program })),
    )
    .command(
      'run <name>',
      'Make a run of it now',
      (y) => withRunSchedule(y, program),
      async (args) => done(await (await schedules()).runNow({ ...args, program })),
    )
    .command(
      'suspend <name>',
      'Let it fire no more',
      (y) => withSchedule(y, program),
      async (args) => done(await (await schedules()).runSuspend({ ...args, program }, true)),
    )
    .command(
      'resume <name>',
      'Let it fire again, from now on',
      (y) => withSchedule(y, program),
      async (args) => done(await (await schedules()).runSuspend({ ...args, program }, false)),
    )
    .command(
      'history <name>',
      'The last runs of a schedule',
      (y) => withSchedule(y, program),
      async (args) => done(await (await schedules()).runCronHistory({ ...args, program })),
    );
}
