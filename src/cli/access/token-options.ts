/** The words and options of `gantryd token`. */
import type { Argv } from 'yargs';
import type { Role } from '../../cluster/values.ts';
import { type EtcdArguments, withEtcd } from '../fleet/options.ts';

export interface TokenArguments extends EtcdArguments {
  readonly name: string;
}

export interface NewTokenArguments extends TokenArguments {
  readonly role: Role;
  /** []: all. */
  readonly project: readonly string[];
}

const create = {
  role: {
    choices: ['read', 'deploy', 'admin'] as const,
    default: 'read' as Role,
    description: 'What it may: look, change what runs, everything',
    requiresArg: true,
  },
  project: {
    type: 'string',
    array: true,
    nargs: 1,
    default: [] as string[],
    defaultDescription: 'all',
    description: 'For this project alone; repeatable',
  },
} as const;

/** Every option by its long name, for "did you mean". */
export const TOKEN_OPTION_NAMES: readonly string[] = Object.keys(create);

export function withNewToken<T>(parser: Argv<T>) {
  return withToken(parser).options(create) as unknown as Argv<NewTokenArguments>;
}

export function withToken<T>(parser: Argv<T>) {
  return withEtcd(
    parser.positional('name', { type: 'string', demandOption: true, description: 'Name of the token' }),
  ) as unknown as Argv<TokenArguments>;
}

export function withTokens<T>(parser: Argv<T>) {
  return withEtcd(parser) as unknown as Argv<EtcdArguments>;
}
