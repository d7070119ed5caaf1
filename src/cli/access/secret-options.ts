/** The words and options of `gantryd secret` and `gantry secret`. */
import type { Argv } from 'yargs';
import { type FleetArguments, secretsKey, withProject } from '../fleet/options.ts';
import { type CommonArguments, refuseOdd } from '../options.ts';
import type { Program } from '../usage.ts';

/** Where secrets are: of a project in etcd, or of this box. */
export type SecretArguments =
  | (FleetArguments & { readonly program: 'gantryd' })
  | (CommonArguments & { readonly program: 'gantry' });

export type SetSecretArguments = SecretArguments & {
  readonly name: string;
  readonly file: string | undefined;
  readonly secretsKey: string | undefined;
  readonly publishedKey: boolean;
};

export type NamedSecretArguments = SecretArguments & { readonly name: string };

export interface KeygenArguments extends CommonArguments {
  readonly file: string | undefined;
}

const set = {
  file: { type: 'string', description: 'Take the value from this file', requiresArg: true },
} as const;

const sealing = {
  ...secretsKey,
  'published-key': {
    type: 'boolean',
    default: false,
    description: 'Seal for the key that is in etcd, whatever key this machine has',
  },
} as const;

/** Every option by its long name, for "did you mean". */
export const SECRET_OPTION_NAMES: readonly string[] = [...Object.keys(set), ...Object.keys(sealing)];

const EXACTLY =
  'The value is read from stdin, exactly as it is: a newline at its end is kept (printf %s has none). A terminal asks for it and does not show it.';

export function withSet<T>(parser: Argv<T>, program: Program) {
  const named = withPlace(parser, program)
    .positional('name', { type: 'string', demandOption: true, description: 'Name of the secret' })
    .options(set)
    .check(single('file', 'secrets-key'))
    .epilogue(EXACTLY);
  return (program === 'gantryd' ? named.options(sealing) : named) as unknown as Argv<SetSecretArguments>;
}

export function withNames<T>(parser: Argv<T>, program: Program) {
  return withPlace(parser, program) as unknown as Argv<SecretArguments>;
}

export function withName<T>(parser: Argv<T>, program: Program) {
  return withPlace(parser, program).positional('name', {
    type: 'string',
    demandOption: true,
    description: 'Name of the secret',
  }) as unknown as Argv<NamedSecretArguments>;
}

export function withKeygen<T>(parser: Argv<T>) {
  return parser.positional('file', {
    type: 'string',
    description: 'Where to write it',
    defaultDescription: 'secrets.key in the state directory',
  }) as unknown as Argv<KeygenArguments>;
}

function withPlace<T>(parser: Argv<T>, program: Program): Argv {
  return (program === 'gantryd' ? withProject(parser) : parser) as unknown as Argv;
}

function single(...names: readonly string[]) {
  return (args: Readonly<Record<string, unknown>>) => {
    for (const name of names) refuseOdd(name, args[name]);
    return true;
  };
}
