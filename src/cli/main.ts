/**
 * The command line: argv to command. The only part that prints and sets exit codes. Everything heavy is
 * imported by the command that needs it, so that --help and completion stay fast.
 */
import type { Argv } from 'yargs';
import { ERROR_CODES, GantryError, isGantryError, messageOf } from '../errors.ts';
import { VERSION } from '../version.ts';
import { withSecretCommands } from './access/secret-commands.ts';
import { withTokenCommands } from './access/token-commands.ts';
import { withApiCommand } from './api/command.ts';
import { withFleetCommands } from './fleet/commands.ts';
import { withDrainsOptions } from './fleet/drains-options.ts';
import { withInstall, withUninstall } from './install/install-options.ts';
import { withJobCommands } from './jobs/commands.ts';
import {
  LOG_LEVELS,
  type LocalArguments,
  type LogLevel,
  withCommon,
  withComponentOptions,
  withProxyOptions,
} from './options.ts';
import { openOutput } from './output.ts';
import { endProcess, watchStreams } from './streams.ts';
import { type Program, usageError } from './usage.ts';
import { yargs } from './yargs.ts';

const EXIT_CODES = 'Exit codes: 0 done, 1 failed, 2 usage or config.';
const WAIT_CODES = '3 the time is over, 4 no live host to wait for.';

/**
 * Runs the command and exits: 0 done, 1 failed, 2 usage or config; 3 and 4 are ends of `--wait`. `lost`: of whoever
 * watches the streams already.
 */
export async function main(
  program: Program,
  argv: readonly string[] = process.argv.slice(2),
  lost: () => boolean = watchStreams(),
): Promise<void> {
  endProcess(await exitCodeOf(program, argv), lost);
}

async function exitCodeOf(program: Program, argv: readonly string[]): Promise<number> {
  try {
    let code = 0;
    const parser = commands(yargs([]).scriptName(program), program, argv, (c) => {
      code = c;
    });
    await parser.parseAsync(argv);
    return code;
  } catch (error) {
    return report(error, argv);
  }
}

function commands(
  parser: Argv,
  program: Program,
  argv: readonly string[],
  done: (code: number) => void,
): Argv {
  const withLocal = withCommon(parser)
    .command(
      'local <action> <config> [component]',
      'Run a component on this host alone, without etcd',
      (y) => withComponentOptions(y),
      async (args) => done(await runLocal(args)),
    )
    .command(
      'proxy <action>',
      'The process that carries the traffic of this host',
      (y) => withProxyOptions(y),
      async (args) => {
        const { runProxy } = await import('./proxy.ts');
        done(await runProxy(args));
      },
    )
    .command(
      'drains [action] [container]',
      'What holds the containers of this host that are to leave',
      (y) => withDrainsOptions(y),
      async (args) => {
        const { runDrains } = await import('./fleet/drains.ts');
        done(await runDrains(args));
      },
    );
  // yargs runs the default command after printing the completion script.
  const isDefault = program === 'gantry' && argv[0] !== 'completion';
  const withJobs = withJobCommands(withLocal as unknown as Argv, program, done);
  const withSecrets = withSecretCommands(withJobs, program, done);
  const withFleet = program === 'gantryd' ? withDaemon(withSecrets, done) : withSecrets;
  const all = isDefault ? withDefault(withFleet, done) : withFleet;
  return all
    .strict()
    .demandCommand(1, 'Say what to do.')
    .version(VERSION)
    .help()
    .alias('h', 'help')
    .completion('completion', 'Print a completion script for bash or zsh')
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .epilogue(program === 'gantryd' ? `${EXIT_CODES}\nWith --wait also: ${WAIT_CODES}` : EXIT_CODES)
    .exitProcess(false)
    .fail((message, error) => {
      throw isUsage(error) ? usageError(program, argv, message ?? error?.message) : error;
    });
}

/** Errors of commands pass through yargs as well. */
function isUsage(error: Error | undefined): boolean {
  return !error || error.name === 'YError';
}

/** `gantry CONFIG ACTION COMPONENT`: the order of the first gantry. */
function withDefault(parser: Argv, done: (code: number) => void): Argv {
  return parser.command(
    '$0 <config> <action> [component]',
    'Run a component on this host alone, without etcd',
    (y) => withComponentOptions(y),
    async (args) => done(await runLocal(args)),
  );
}

/** What is about a fleet. */
function withDaemon(parser: Argv, done: (code: number) => void): Argv {
  return withInstallCommands(
    withTokenCommands(withApiCommand(withFleetCommands(parser, done), done), done),
    done,
  );
}

function withInstallCommands(parser: Argv, done: (code: number) => void): Argv {
  return parser
    .command(
      'install [project..]',
      'Have systemd run the proxy, and the agents of these projects',
      (y) => withInstall(y),
      async (args) => {
        const { runInstall } = await import('./install/install.ts');
        done(await runInstall(args));
      },
    )
    .command(
      'uninstall [project..]',
      'Take back what install did; what serves goes on',
      (y) => withUninstall(y),
      async (args) => {
        const { runUninstall } = await import('./install/uninstall.ts');
        done(await runUninstall(args));
      },
    );
}

async function runLocal(args: LocalArguments): Promise<number> {
  const local = await import('./local.ts');
  return local.runLocal(args);
}

function report(error: unknown, argv: readonly string[]): number {
  const known = isGantryError(error)
    ? error
    : new GantryError('internal', `Unexpected: ${messageOf(error)}`, {
        hint: 'This is a defect of gantryd. With --log-level debug the whole error is shown.',
        cause: error,
      });
  openOutput({ json: argv.includes('--json'), level: levelIn(argv) }).error(known);
  return ERROR_CODES[known.code].exit;
}

/** The command line may be what is wrong, so it is not asked of the parser. */
function levelIn(argv: readonly string[]): LogLevel {
  const given = argv.join(' ').match(/--log-level[= ](\S+)/)?.[1];
  return LOG_LEVELS.find((level) => level === given) ?? 'info';
}
