/**
 * The command line: argv to command. The only part that prints and sets exit codes. Everything heavy is
 * imported by the command that needs it, so that --help and completion stay fast.
 */
import yargs, { type Argv } from 'yargs';
import { ERROR_CODES, GantryError, isGantryError, messageOf } from '../errors.ts';
import { VERSION } from '../version.ts';
import { type LocalArguments, withCommon, withComponentOptions } from './options.ts';
import { openOutput } from './output.ts';

type Program = 'gantry' | 'gantryd';

/** Runs the command in process.argv and exits: 0 done, 1 failed, 2 usage or config. */
export async function main(program: Program): Promise<void> {
  process.exitCode = await exitCodeOf(program, process.argv.slice(2));
  // Whatever a library left open must not keep a finished command alive.
  process.stdout.write('', () => process.exit());
}

async function exitCodeOf(program: Program, argv: readonly string[]): Promise<number> {
  try {
    let code = 0;
    const parser = commands(yargs([]).scriptName(program), program, (c) => {
      code = c;
    });
    await parser.parseAsync(argv);
    return code;
  } catch (error) {
    return report(error, argv);
  }
}

function commands(parser: Argv, program: Program, done: (code: number) => void): Argv {
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
      (y) =>
        y
          .positional('action', { choices: ['status', 'stop'] as const, demandOption: true })
          .option('force', FORCE),
      async (args) => {
        const { runProxy } = await import('./proxy.ts');
        done(await runProxy(args));
      },
    );
  const all = program === 'gantry' ? withDefault(withLocal, done) : withLocal;
  return all
    .strict()
    .demandCommand(1, 'Say what to do.')
    .version(VERSION)
    .help()
    .alias('h', 'help')
    .completion('completion', 'Print a completion script for bash or zsh')
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .epilogue('Exit codes: 0 done, 1 failed, 2 usage or config.')
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? usageError(program, message);
    });
}

/** yargs' words are for programmers; these are for who typed the command. */
function usageError(program: Program, message: string): GantryError {
  const example = program === 'gantry' ? 'gantry shop.yaml update web' : 'gantryd local update shop.yaml web';
  const words = message.startsWith('Not enough non-option arguments')
    ? `Too few words: a command is like \`${example}\``
    : message.replace(/\s*\n\s*/g, ' ').replace(/^Invalid values: Argument: /, 'Not a valid ');
  return new GantryError('usage', words, { hint: `${program} --help shows the commands and options.` });
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

const FORCE = {
  type: 'boolean',
  default: false,
  description: 'stop: even while connections are open; they are cut',
} as const;

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
  const debug = argv.join(' ').includes('--log-level debug') || argv.includes('--log-level=debug');
  openOutput({ json: argv.includes('--json'), debug }).error(known);
  return ERROR_CODES[known.code].exit;
}
