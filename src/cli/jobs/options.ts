/** The words and options of `job` and `cron`, in one place so that they mean the same everywhere. */
import type { Argv } from 'yargs';
import { parseDuration } from '../../config/quantities.ts';
import { GantryError } from '../../errors.ts';
import { type EtcdArguments, single, whole, withEtcd } from '../fleet/options.ts';
import { refuseOdd } from '../options.ts';
import type { Program } from '../usage.ts';

/** `gantry` has no options for etcd: those are absent there, and the runs are those of this box. */
export interface JobArguments extends EtcdArguments {
  readonly program: Program;
  readonly project: string | undefined;
}

export interface RunJobArguments extends JobArguments {
  readonly image: string;
  readonly name: string | undefined;
  readonly env: readonly string[];
  readonly envFile: readonly string[];
  readonly mount: readonly string[];
  readonly network: readonly string[];
  readonly secret: readonly string[];
  readonly constraint: readonly string[];
  readonly command: string | undefined;
  readonly entrypoint: string | undefined;
  readonly user: string | undefined;
  readonly memory: string | undefined;
  readonly cpus: string | undefined;
  readonly timeout: string | undefined;
  readonly retries: number;
  readonly keep: string | undefined;
  readonly registryAuth: string | undefined;
  readonly showLogs: boolean;
  readonly remove: boolean;
  readonly detach: boolean;
  readonly input: string | undefined;
  /** Of gantry alone. */
  readonly linger: string | undefined;
}

/** Goes on with a run that `job run` had begun. */
export interface AttachArguments extends JobArguments {
  readonly id: string;
  readonly from: string | undefined;
  readonly showLogs: boolean;
  readonly remove: boolean;
}

export interface SubmitArguments extends JobArguments {
  readonly file: string;
  readonly input: string | undefined;
  readonly follow: boolean;
}

export interface ListJobsArguments extends JobArguments {
  readonly all: boolean;
}

export interface RunIdArguments extends JobArguments {
  readonly id: string;
}

export interface RunIdsArguments extends JobArguments {
  readonly id: readonly string[];
}

export interface JobLogArguments extends RunIdArguments {
  readonly follow: boolean;
  readonly tail: number | undefined;
}

export interface RunnerArguments extends JobArguments {
  readonly foreground: boolean;
  readonly linger: string | undefined;
}

export interface PushArguments extends JobArguments {
  readonly file: string | undefined;
}

export interface ScheduleArguments extends JobArguments {
  readonly name: string;
}

export interface RunScheduleArguments extends ScheduleArguments {
  readonly follow: boolean;
}

const project = {
  project: {
    alias: 'p',
    type: 'string',
    default: process.env.GANTRYD_PROJECT || undefined,
    defaultDescription: '$GANTRYD_PROJECT, the only one there is',
    description: 'Whose hosts run it',
    requiresArg: true,
  },
} as const;

const input = {
  input: {
    type: 'string',
    description: 'What the first step reads: a file, or - for stdin',
    requiresArg: true,
  },
} as const;

const follow = {
  follow: { alias: 'f', type: 'boolean', default: false, description: 'Stay and tell what it prints' },
} as const;

const runJob = {
  image: { alias: 'i', type: 'string', demandOption: true, description: 'Image', requiresArg: true },
  command: { alias: 'd', ...text('What it runs, quoted as in a shell') },
  entrypoint: text("In place of the image's own, quoted as in a shell"),
  env: { alias: 'e', ...many('Variable, as K=V; K alone takes it from here') },
  'env-file': many('File with a K=V on each line'),
  mount: { alias: 'm', ...many('Folder or volume, as SRC=DEST or SRC=DEST:ro') },
  network: { alias: 'n', ...many('Network; all that are named are joined') },
  secret: { alias: 's', ...many('NAME of a stored secret, or NAME=FILE, for /run/secrets/NAME') },
  constraint: { alias: 'c', ...many('Where it may run, as host==h1 or label.disk!=slow') },
  user: text('As whom it runs, as uid:gid or a name'),
  memory: text('Most memory, as 512m'),
  cpus: text('Most processor time, as 1.5'),
  timeout: { alias: 't', ...text('Stopped after so long, as 90s or 2h') },
  retries: {
    type: 'number',
    default: 0,
    description: 'Tries after one that failed or whose host was lost',
    requiresArg: true,
  },
  'registry-auth': {
    ...text("Docker config file, or an auth's JSON in base64"),
    alias: ['a', 'registry'],
  },
  ...input,
  name: text('What the run is called'),
  keep: text('How long its record, log and output are kept, as 7d'),
  'show-logs': { alias: 'l', type: 'boolean', default: true, description: 'Show what it prints' },
  remove: { alias: 'r', type: 'boolean', default: false, description: 'Keep nothing of it' },
  detach: { type: 'boolean', default: false, description: 'Print its id and return' },
} as const;

const linger = {
  linger: {
    type: 'string',
    default: process.env.GANTRYD_LINGER || undefined,
    defaultDescription: '$GANTRYD_LINGER, 5m',
    description: 'How long a process stays that runs the next one sooner; 0s: none',
    requiresArg: true,
  },
} as const;

const attach = {
  from: text('Where in its log'),
  'show-logs': runJob['show-logs'],
  remove: runJob.remove,
} as const;

const list = { all: { type: 'boolean', default: false, description: 'Also those that are over' } } as const;

const log = {
  ...follow,
  tail: { type: 'number', description: 'Only the last so many entries', requiresArg: true },
} as const;

/** Every option by its long name, for "did you mean". */
export const JOB_OPTION_NAMES: readonly string[] = [
  ...[project, runJob, follow, list, log].flatMap((group) => Object.keys(group)),
  ...['registry', 'foreground', 'linger'],
];

const DEFAULT_LINGER = '5m';

const ENDS =
  "Ends with the container's exit code; 124 when its time was over, 125 when it could not be started, 130 when it was cancelled.";

type Builder<A> = (parser: Argv, program: Program) => Argv<A>;

export const withJobRun: Builder<RunJobArguments> = (parser, program) =>
  reach(parser, program)
    .options(runJob)
    .options(program === 'gantry' ? linger : {})
    .epilogue(ENDS)
    .check(single(...singles(runJob), 'linger'))
    .check((args) => lingerOf(args.linger as string | undefined) >= 0)
    .check(whole('retries', 0, 1000)) as unknown as Argv<RunJobArguments>;

export const withSubmit: Builder<SubmitArguments> = (parser, program) =>
  reach(parser, program)
    .positional('file', {
      type: 'string',
      demandOption: true,
      description: 'Job, JSON or YAML; - for stdin',
      coerce: (word: string) => word || '-', // yargs takes a lone dash for an option without a name
    })
    .options(input)
    .options(follow)
    .check(single('input'))
    .check(({ file, input: from }) => {
      // An empty name, as of a variable that is not set, is no lone dash.
      if (file === '-' && !process.argv.includes('-')) {
        throw new GantryError('usage', 'The name of the job file is empty', { hint: '- is stdin.' });
      }
      if (file !== '-' || from !== '-') return true;
      throw new GantryError('usage', 'The job and its input cannot both come from stdin', {
        hint: 'Put one of them into a file.',
      });
    }) as unknown as Argv<SubmitArguments>;

export const withJobList: Builder<ListJobsArguments> = (parser, program) =>
  reach(parser, program).options(list) as unknown as Argv<ListJobsArguments>;

export const withJobs: Builder<JobArguments> = (parser, program) =>
  reach(parser, program) as unknown as Argv<JobArguments>;

export const withRunId: Builder<RunIdArguments> = (parser, program) =>
  reach(parser, program).positional('id', runIdOf()) as unknown as Argv<RunIdArguments>;

export const withRunIds: Builder<RunIdsArguments> = (parser, program) =>
  reach(parser, program).positional('id', { ...runIdOf(), array: true }) as unknown as Argv<RunIdsArguments>;

export const withJobLog: Builder<JobLogArguments> = (parser, program) =>
  reach(parser, program)
    .positional('id', runIdOf())
    .options(log)
    .check(whole('tail', 0)) as unknown as Argv<JobLogArguments>;

export const withRunner: Builder<RunnerArguments> = (parser, program) =>
  reach(parser, program).options({
    foreground: { type: 'boolean', default: false, description: 'Stay, and log to stdout' },
    linger: text('How long it stays when it has nothing to do'),
  }) as unknown as Argv<RunnerArguments>;

export const withAttach: Builder<AttachArguments> = (parser, program) =>
  withRunId(parser, program).options(attach) as unknown as Argv<AttachArguments>;

export const withPush: Builder<PushArguments> = (parser, program) =>
  reach(parser, program).positional('file', {
    type: 'string',
    defaultDescription: 'docket.yml, else schedules.yml',
    description: 'Schedules, JSON or YAML',
  }) as unknown as Argv<PushArguments>;

export const withSchedule: Builder<ScheduleArguments> = (parser, program) =>
  reach(parser, program).positional('name', {
    type: 'string',
    demandOption: true,
    description: 'Name of the schedule',
  }) as unknown as Argv<ScheduleArguments>;

export const withRunSchedule: Builder<RunScheduleArguments> = (parser, program) =>
  withSchedule(parser, program).options(follow) as unknown as Argv<RunScheduleArguments>;

/** Where the runs are: gantryd's in etcd, gantry's on this box. */
function reach(parser: Argv, program: Program): Argv {
  if (program === 'gantry') return parser;
  return withEtcd(parser.options(project)).check((args) => {
    refuseOdd('project', args.project);
    return true;
  }) as unknown as Argv;
}

/** How long a runner that is left stays, in milliseconds. Throws usage. */
export function lingerOf(text: string | undefined): number {
  const ms = parseDuration(text ?? DEFAULT_LINGER, 1_000);
  if (ms !== undefined && ms >= 0) return ms;
  throw new GantryError('usage', `--linger: '${text}' is no time`, { hint: 'Give one as 90s, 5m or 0s.' });
}

function runIdOf() {
  return {
    type: 'string',
    demandOption: true,
    description: 'Id of the run, or how it begins',
  } as const;
}

function text(description: string) {
  return { type: 'string', description, requiresArg: true } as const;
}

function many(description: string) {
  return { type: 'string', array: true, nargs: 1, default: [] as string[], description } as const;
}

function singles(
  group: Readonly<Record<string, { readonly array?: boolean; readonly type: string }>>,
): string[] {
  return Object.keys(group).filter((name) => group[name]?.array !== true);
}
