/** The options of the commands, in one place so that they mean the same everywhere. */
import type { Argv } from 'yargs';

export const localActions = [
  'list',
  'start',
  'update',
  'stop',
  'kill',
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

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function withCommon(parser: Argv) {
  return parser
    .option('state-dir', {
      type: 'string',
      default: process.env.GANTRYD_STATE_DIR,
      defaultDescription: '$GANTRYD_STATE_DIR, /var/lib/gantryd for root, else ~/.local/state/gantryd',
      description: 'Folder of the proxy, its tables and what is wanted',
      requiresArg: true,
    })
    .option('docker', {
      type: 'string',
      description: 'Address of the Docker engine',
      defaultDescription: '$DOCKER_HOST, else the local socket',
      requiresArg: true,
    })
    .option('json', { type: 'boolean', default: false, description: 'One JSON document or event per line' })
    .option('log-level', {
      choices: LOG_LEVELS,
      default: 'info' as LogLevel,
      description: 'How much to tell',
    });
}

export function withComponentOptions<T>(parser: Argv<T>) {
  return parser
    .positional('config', { type: 'string', demandOption: true, description: 'Project file, JSON or YAML' })
    .positional('action', { type: 'string', choices: localActions, demandOption: true })
    .positional('component', { type: 'string', description: 'Name of the component' })
    .option('monitor', {
      alias: 'm',
      type: 'boolean',
      default: false,
      description: 'start, update: stay, probe health and replace what fails',
    })
    .option('pull', {
      type: 'boolean',
      default: false,
      description: 'start, update: pull even when the image is here',
    })
    .option('detach', {
      type: 'boolean',
      default: false,
      description: 'start, update: return after the switch; the next command goes on with the drain',
    })
    .option('dry-run', {
      type: 'boolean',
      default: false,
      description: 'Say what would be done and do nothing',
    })
    .option('set', {
      alias: 'setconfig',
      type: 'string',
      array: true,
      nargs: 1,
      default: [] as string[],
      description: 'Override a field of the component, as tag=v2 or ports.80=8080',
    }) as unknown as Argv<LocalArguments>;
}
