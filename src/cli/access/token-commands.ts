/** The commands `token` of gantryd. Each imports what it needs when it runs. */
import type { Argv } from 'yargs';
import { withNewToken, withToken, withTokens } from './token-options.ts';

const tokens = () => import('./token.ts');

export function withTokenCommands(parser: Argv, done: (code: number) => void): Argv {
  return parser.command('token', 'Who may use the HTTP API', (y) =>
    y
      .command('create <name>', 'Make a token; it is printed once', withNewToken, async (args) =>
        done(await (await tokens()).runCreate(args)),
      )
      .command('list', 'Names, roles and projects; no token is ever shown', withTokens, async (args) =>
        done(await (await tokens()).runList(args)),
      )
      .command('revoke <name>', 'Take a token back, by its name or id', withToken, async (args) =>
        done(await (await tokens()).runRevoke(args)),
      )
      .demandCommand(1, 'Say what to do.'),
  );
}
