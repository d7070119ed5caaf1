/** The options of the commands, in one place so that they mean the same everywhere. */
import type { Argv } from 'yargs';
import { GantryError } from '../errors.ts';

export const localActions = [
  'list',
  'start',
  'update',
  'stop',
  'kill',
  'scale',
  'check',
] as const satisfies readonly string[];

export type LocalAction = (typeof localActions)[number];

export interface CommonArguments {
  readonly stateDir: string | undefined;
  readonly docker: string | undefined;
  readonly json: boolean;
  readonly logLevel: LogLevel;
}

export interface LocalArguments extends CommonArguments {
  readonly config: string;
  readonly action: LocalAction;
  readonly component: string | undefined;
  readonly monitor: boolean;
  readonly pull: boolean;
  readonly detach: boolean;
  readonly dryRun: boolean;
  readonly set: readonly string[];
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Of whatever is about some components, or all. */
export const COMPONENTS = {
  component: {
    alias: 'c',
    type: 'string',
    array: true,
    default: [] as string[],
    defaultDescription: 'all',
    description: 'Names of components',
    requiresArg: true,
  },
} as const;

const common = {
  'state-dir': {
    type: 'string',
    // An empty variable means an unset one.
    default: process.env.GANTRYD_STATE_DIR || undefined,
    defaultDescription: '$GANTRYD_STATE_DIR, /var/lib/gantryd for root, else ~/.local/state/gantryd',
    description: 'Folder of the proxy, its tables and what is wanted',
    requiresArg: true,
  },
  docker: {
    type: 'string',
    description: 'Address of the Docker engine',
    defaultDescription: '$DOCKER_HOST, else the local socket',
    requiresArg: true,
  },
  json: { type: 'boolean', default: false, description: 'One JSON document or event per line' },
  'log-level': {
    choices: LOG_LEVELS,
    default: 'info' as LogLevel,
    description: 'Everything, the steps, bad news alone, errors alone, nothing but the answer',
    requiresArg: true,
  },
} as const;

const component = {
  monitor: {
    alias: 'm',
    type: 'boolean',
    default: false,
    description: 'start, update: stay, probe health and replace what fails',
  },
  pull: { type: 'boolean', default: false, description: 'start, update: pull even when the image is here' },
  detach: {
    type: 'boolean',
    default: false,
    description: 'start, update: return after the switch; the next command goes on with the drain',
  },
  'dry-run': { type: 'boolean', default: false, description: 'Say what would be done and do nothing' },
  set: {
    alias: 'setconfig',
    type: 'string',
    array: true,
    nargs: 1,
    default: [] as string[],
    description: 'Override a field of the component, as tag=v2 or ports.80=8080',
  },
} as const;

const proxy = {
  force: {
    type: 'boolean',
    default: false,
    description: 'stop: even while connections are open; they are cut',
  },
  purge: {
    type: 'boolean',
    default: false,
    description: "stop: also take out the kernel's rules, which else lead on without it",
  },
  within: {
    type: 'number',
    description: 'stop: accept nothing more, and cut what is still open after so many seconds',
    requiresArg: true,
  },
} as const;

/** The options of the commands on one host by their long names, for "did you mean". */
export const OPTION_NAMES: readonly string[] = [
  ...[common, component, proxy].flatMap((group) => Object.keys(group)),
  ...['setconfig', 'help', 'version'],
];

export function withCommon(parser: Argv) {
  return parser.options(common).check((args) => {
    for (const name of ['state-dir', 'docker', 'log-level']) refuseOdd(name, args[name]);
    return true;
  });
}

export function withComponentOptions<T>(parser: Argv<T>) {
  return parser
    .positional('config', { type: 'string', demandOption: true, description: 'Project file, JSON or YAML' })
    .positional('action', { type: 'string', choices: localActions, demandOption: true })
    .positional('component', { type: 'string', description: 'Name of the component; scale: web=3' })
    .options(component) as unknown as Argv<LocalArguments>;
}

export function withProxyOptions<T>(parser: Argv<T>) {
  return parser
    .positional('action', {
      choices: ['status', 'metrics', 'start', 'upgrade', 'stop'] as const,
      demandOption: true,
    })
    .options(proxy)
    .check(({ within }) => {
      if (within === undefined || (typeof within === 'number' && within >= 0)) return true;
      throw new GantryError('usage', '--within takes a number of seconds', { hint: 'As --within 10.' });
    });
}

export function refuseOdd(name: string, value: unknown): void {
  const wrong = Array.isArray(value) ? 'is given more than once' : value === '' ? 'needs a value' : undefined;
  if (wrong !== undefined)
    throw new GantryError('usage', `--${name} ${wrong}`, { hint: '--help shows what it takes.' });
}
