/** The options of the commands on a fleet, in one place so that they mean the same everywhere. */
import { availableParallelism } from 'node:os';
import type { Argv } from 'yargs';
import { DEFAULT_PREFIX } from '../../cluster/keys.ts';
import { GantryError } from '../../errors.ts';
import { checkServe, type ServeArguments, serve } from '../api/options.ts';
import { COMPONENTS, type CommonArguments, refuseOdd } from '../options.ts';

/** The way to etcd. */
export interface EtcdArguments extends CommonArguments {
  readonly etcd: string;
  readonly etcdPrefix: string;
  readonly etcdCa: string | undefined;
  readonly etcdCert: string | undefined;
  readonly etcdKey: string | undefined;
  readonly etcdUser: string | undefined;
  readonly etcdPasswordFile: string | undefined;
}

export interface FleetArguments extends EtcdArguments {
  readonly project: string;
}

export interface ComponentArguments extends FleetArguments {
  /** []: all. */
  readonly component: readonly string[];
}

export interface WaitArguments extends ComponentArguments {
  readonly wait: boolean;
  /** Seconds; 0: no bound. */
  readonly timeout: number | undefined;
}

export interface SetConfigArguments extends FleetArguments {
  readonly file: string;
}

export interface UpdateArguments extends WaitArguments {
  readonly note: string | undefined;
  readonly pull: boolean;
}

export interface RollbackArguments extends WaitArguments {
  readonly to: number | undefined;
}

export interface ScaleArguments extends FleetArguments {
  /** As `web=3`. */
  readonly changes: readonly string[];
  readonly wait: boolean;
  /** Seconds; 0: no bound. */
  readonly timeout: number | undefined;
}

export interface ListArguments extends FleetArguments {
  readonly hosts: boolean;
  readonly watch: boolean;
}

export interface WhyArguments extends ComponentArguments {
  readonly host: string | undefined;
}

export interface RolloutArguments extends ComponentArguments {
  readonly action: 'pause' | 'resume' | 'status';
}

export interface RunArguments extends ComponentArguments, ServeArguments {
  readonly hostName: string | undefined;
  readonly address: string | undefined;
  /** `K=V`. */
  readonly label: readonly string[];
  readonly stopOnExit: boolean;
  readonly logFormat: 'pretty' | 'json' | undefined;
  readonly secretsKey: string | undefined;
  readonly jobs: boolean;
  readonly jobSlots: number;
  readonly apiAddress: string | undefined;
  readonly apiPort: number;
}

/** Long rollouts take longer; a pipeline that hangs for a day helps nobody. */
export const DEFAULT_TIMEOUT_S = 1800;
const MAX_PORT = 65_535;

const etcd = {
  etcd: {
    type: 'string',
    // An empty variable means an unset one.
    default: process.env.GANTRYD_ETCD || 'http://127.0.0.1:2379',
    defaultDescription: '$GANTRYD_ETCD, http://127.0.0.1:2379',
    description: 'Addresses of etcd members, with commas between',
    requiresArg: true,
  },
  'etcd-prefix': {
    type: 'string',
    default: process.env.GANTRYD_ETCD_PREFIX || DEFAULT_PREFIX,
    defaultDescription: `$GANTRYD_ETCD_PREFIX, ${DEFAULT_PREFIX}`,
    description: 'What all keys in etcd begin with',
    requiresArg: true,
  },
  'etcd-ca': fromEnvironment('GANTRYD_ETCD_CA', 'PEM file: who may certify etcd'),
  'etcd-cert': fromEnvironment('GANTRYD_ETCD_CERT', 'PEM file: certificate for etcd'),
  'etcd-key': fromEnvironment('GANTRYD_ETCD_KEY', 'PEM file: key of that certificate'),
  'etcd-user': fromEnvironment(
    'GANTRYD_ETCD_USER',
    'User of etcd; its password is in $GANTRYD_ETCD_PASSWORD or a file',
  ),
  'etcd-password-file': fromEnvironment('GANTRYD_ETCD_PASSWORD_FILE', 'File with the password'),
} as const;

const one = {
  component: { ...COMPONENTS.component, defaultDescription: undefined, description: 'Name of the component' },
} as const;

const wait = {
  wait: { type: 'boolean', default: false, description: 'Follow it host by host until it is over' },
  timeout: {
    type: 'number',
    defaultDescription: `${DEFAULT_TIMEOUT_S}`,
    description: 'Seconds to wait; 0 waits for ever',
    requiresArg: true,
  },
} as const;

const update = {
  note: { type: 'string', description: 'Why, for history', requiresArg: true },
  pull: { type: 'boolean', default: false, description: 'Pull even when this machine has the image' },
} as const;

const rollback = {
  to: {
    type: 'number',
    description: 'Release to go to',
    defaultDescription: 'the one before that served everywhere',
    requiresArg: true,
  },
} as const;

const list = {
  hosts: { type: 'boolean', default: false, description: 'Each component on each host' },
  watch: { type: 'boolean', default: false, description: 'Again whenever something changes' },
} as const;

const why = { host: { type: 'string', description: 'This host alone', requiresArg: true } } as const;

/** Also of whoever seals for that key. */
export const secretsKey = {
  'secrets-key': {
    type: 'string',
    default: process.env.GANTRYD_SECRETS_KEY || undefined,
    defaultDescription: '$GANTRYD_SECRETS_KEY, secrets.key in the state directory if it is there',
    description: 'Key file for secrets, the same on all hosts of the fleet',
    requiresArg: true,
  },
} as const;

const run = {
  ...secretsKey,
  component: {
    ...COMPONENTS.component,
    default: listIn('GANTRYD_COMPONENTS'),
    defaultDescription: '$GANTRYD_COMPONENTS, with commas between; all',
  },
  'host-name': {
    type: 'string',
    description: 'What the fleet calls this host',
    default: process.env.GANTRYD_HOST_NAME || undefined,
    defaultDescription: '$GANTRYD_HOST_NAME, its own name',
    requiresArg: true,
  },
  address: {
    type: 'string',
    description: 'Where other hosts reach this one',
    default: process.env.GANTRYD_ADDRESS || undefined,
    defaultDescription: '$GANTRYD_ADDRESS, the address it uses towards etcd',
    requiresArg: true,
  },
  label: {
    type: 'string',
    array: true,
    nargs: 1,
    default: listIn('GANTRYD_LABELS'),
    defaultDescription: '$GANTRYD_LABELS, with commas between',
    description: 'Told with the host, as rack=7; repeatable',
  },
  'log-format': {
    choices: ['pretty', 'json'] as const,
    defaultDescription: 'pretty',
    description: 'Words, or a line of JSON as loggers write them; see --json for the events themselves',
    requiresArg: true,
  },
  'stop-on-exit': {
    type: 'boolean',
    default: false,
    description: 'Drain and stop the components here when the agent is ended',
  },
  jobs: { type: 'boolean', default: true, description: 'Run jobs here; --no-jobs does not' },
  'job-slots': {
    type: 'number',
    description: 'Jobs at once',
    default: Math.max(4, 2 * availableParallelism()),
    defaultDescription: 'two for each core, four at least',
    requiresArg: true,
  },
  'api-address': {
    type: 'string',
    description: 'Where this host serves logs, and outputs of its jobs',
    default: process.env.GANTRYD_API_ADDRESS || undefined,
    defaultDescription: '$GANTRYD_API_ADDRESS, its --address',
    requiresArg: true,
  },
  'api-port': {
    type: 'number',
    description: 'Port for them',
    default: Number(process.env.GANTRYD_API_PORT || 0),
    defaultDescription: '$GANTRYD_API_PORT, any that is free',
    requiresArg: true,
  },
} as const;

/** Every option by its long name, for "did you mean". */
export const FLEET_OPTION_NAMES: readonly string[] = [
  etcd,
  COMPONENTS,
  wait,
  update,
  rollback,
  list,
  why,
  run,
].flatMap((group) => Object.keys(group));

type Builder<A> = <T>(parser: Argv<T>) => Argv<A>;

export const withSetConfig: Builder<SetConfigArguments> = (parser) =>
  fleet(parser).positional('file', {
    type: 'string',
    demandOption: true,
    description: 'Project file, JSON or YAML',
  }) as unknown as Argv<SetConfigArguments>;

export const withProject: Builder<FleetArguments> = (parser) =>
  fleet(parser) as unknown as Argv<FleetArguments>;

export const withUpdate: Builder<UpdateArguments> = (parser) =>
  waiting(parser).options(update).check(single('note')) as unknown as Argv<UpdateArguments>;

export const withRollback: Builder<RollbackArguments> = (parser) =>
  waiting(parser).options(rollback).check(whole('to', 1)) as unknown as Argv<RollbackArguments>;

export const withStop: Builder<WaitArguments> = (parser) => waiting(parser) as unknown as Argv<WaitArguments>;

export const withScale: Builder<ScaleArguments> = (parser) =>
  fleet(parser)
    .positional('changes', {
      type: 'string',
      array: true,
      demandOption: true,
      description: 'web=3: so many on each host; web=total:6: so many in all; web=config: as the config says',
    })
    .options(wait)
    .check(whole('timeout', 0))
    .check(timeoutOfWait) as unknown as Argv<ScaleArguments>;

export const withList: Builder<ListArguments> = (parser) =>
  fleet(parser).options(list) as unknown as Argv<ListArguments>;

export const withHistory: Builder<ComponentArguments> = (parser) =>
  fleet(parser).options(one).check(oneComponent) as unknown as Argv<ComponentArguments>;

export const withWhy: Builder<WhyArguments> = (parser) =>
  fleet(parser)
    .options(one)
    .options(why)
    .check(oneComponent)
    .check(single('host')) as unknown as Argv<WhyArguments>;

export const withRollout: Builder<RolloutArguments> = (parser) =>
  fleet(parser.positional('action', { choices: ['pause', 'resume', 'status'] as const, demandOption: true }))
    .options(one)
    .check(oneComponent) as unknown as Argv<RolloutArguments>;

export const withRun: Builder<RunArguments> = (parser) =>
  fleet(parser)
    .options(run)
    .options(serve)
    .check(checkServe)
    .check(oneFormat)
    .check(single('host-name', 'address', 'api-address', 'secrets-key'))
    .check(whole('job-slots', 1))
    .check(whole('api-port', 0, MAX_PORT)) as unknown as Argv<RunArguments>;

/** The options for etcd, of a command that is about a fleet. */
export function withEtcd<T>(parser: Argv<T>) {
  return parser.options(etcd).check(single(...Object.keys(etcd)));
}

function fleet<T>(parser: Argv<T>) {
  return withEtcd(
    parser.positional('project', { type: 'string', demandOption: true, description: 'Name of the project' }),
  );
}

function waiting<T>(parser: Argv<T>) {
  return fleet(parser).options(COMPONENTS).options(wait).check(whole('timeout', 0)).check(timeoutOfWait);
}

function timeoutOfWait(args: Readonly<Record<string, unknown>>) {
  if (args.timeout === undefined || args.wait === true) return true;
  throw new GantryError('usage', '--timeout needs --wait', { hint: 'Without it nothing is waited for.' });
}

/** None of these may be given twice, or empty. */
export function single(...names: readonly string[]) {
  return (args: Readonly<Record<string, unknown>>) => {
    for (const name of names) refuseOdd(name, args[name]);
    return true;
  };
}

/** An option that is not given is read from a variable; an empty one means an unset one. */
function fromEnvironment(variable: string, description: string) {
  const value = process.env[variable] || undefined;
  return {
    type: 'string',
    default: value,
    defaultDescription: `$${variable}`,
    description,
    requiresArg: true,
  } as const;
}

/** What a variable lists, with commas between. */
function listIn(variable: string): string[] {
  const words = (process.env[variable] ?? '').split(',').map((word) => word.trim());
  return words.filter((word) => word !== '');
}

export function whole(name: string, least: number, most = Number.MAX_SAFE_INTEGER) {
  return (args: Readonly<Record<string, unknown>>) => {
    const value = args[name];
    refuseOdd(name, value);
    const number = Number(value);
    if (value === undefined || (Number.isSafeInteger(value) && number >= least && number <= most))
      return true;
    const bound = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `${least} to ${most}`;
    throw new GantryError('usage', `--${name} takes a whole number, ${bound}`, {
      hint: '--help shows what it takes.',
    });
  };
}

function oneFormat({ json, logFormat }: Readonly<Record<string, unknown>>) {
  if (json !== true || logFormat === undefined) return true;
  throw new GantryError('usage', '--log-format and --json do not go together', {
    hint: '--json prints the events themselves, --log-format json lines as loggers write them.',
  });
}

function oneComponent(args: Readonly<Record<string, unknown>>) {
  const given = args.component;
  if (Array.isArray(given) && given.length === 1 && given[0] !== '') return true;
  const wrong = Array.isArray(given) && given.length > 1 ? 'is about one component' : 'needs a component';
  throw new GantryError('usage', `This command ${wrong}: -c NAME`, {
    hint: 'gantryd list shows the components of a project.',
  });
}
