/** The commands `secret` of both programs. Each imports what it needs when it runs. */
import type { Argv } from 'yargs';
import type { Program } from '../usage.ts';
import { type SecretArguments, withKeygen, withName, withNames, withSet } from './secret-options.ts';

const secrets = () => import('./secret.ts');

export function withSecretCommands(parser: Argv, program: Program, done: (code: number) => void): Argv {
  return parser.command('secret', 'Values that containers find in files, and nobody else anywhere', (y) =>
    secretCommands(y, program, done).demandCommand(1, 'Say what to do.'),
  );
}

function secretCommands(parser: Argv, program: Program, done: (code: number) => void): Argv {
  const project = program === 'gantryd' ? ' <project>' : '';
  const all = parser
    .command(
      `set${project} <name>`,
      'Set a secret; the value is read from stdin, a terminal or --file',
      (y) => withSet(y, program),
      async (args) => done(await (await secrets()).runSet(of(args, program))),
    )
    .command(
      `list${project}`,
      'Names and sizes; values are never shown',
      (y) => withNames(y, program),
      async (args) => done(await (await secrets()).runList(of(args, program))),
    )
    .command(
      `rm${project} <name>`,
      'Remove a secret; containers that have it keep it',
      (y) => withName(y, program),
      async (args) => done(await (await secrets()).runRemove(of(args, program))),
    );
  if (program === 'gantry') return all;
  return all.command(
    'keygen [file]',
    'Make the key that all hosts of a fleet are to hold',
    (y) => withKeygen(y),
    async (args) => done(await (await secrets()).runKeygen(args)),
  );
}

/** The options are those of this program. */
function of<A extends SecretArguments>(args: A, program: Program): A {
  return { ...args, program } as A;
}
