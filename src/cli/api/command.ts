/** The command `api` of gantryd. Imports what it needs when it runs. */
import type { Argv } from 'yargs';
import { type EtcdArguments, withEtcd } from '../fleet/options.ts';
import { checkServe, type ServeArguments, serve } from './options.ts';

export interface ApiArguments extends EtcdArguments, ServeArguments {
  readonly api: string;
}

const DEFAULT_API = '127.0.0.1:7070';

const options = {
  ...serve,
  api: {
    ...serve.api,
    default: serve.api.default ?? DEFAULT_API,
    defaultDescription: `$GANTRYD_API, ${DEFAULT_API}`,
  },
} as const;

export function withApiCommand(parser: Argv, done: (code: number) => void): Argv {
  return parser.command('api', 'Serve the HTTP API, from etcd alone', withApi, async (args) => {
    const { runApi } = await import('./api.ts');
    done(await runApi(args));
  });
}

function withApi<T>(parser: Argv<T>): Argv<ApiArguments> {
  return withEtcd(parser).options(options).check(checkServe) as unknown as Argv<ApiArguments>;
}
