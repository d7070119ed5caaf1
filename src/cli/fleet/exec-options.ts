/** The options of `gantryd exec`. */
import type { Argv } from 'yargs';
import { type ComponentArguments, single, withHistory } from './options.ts';

export interface ExecArguments extends ComponentArguments {
  /** Words that were given without `--` before them. */
  readonly command: readonly string[];
  readonly host: string | undefined;
  readonly container: string | undefined;
  readonly interactive: boolean;
  readonly tty: boolean;
  readonly env: readonly string[];
  readonly user: string | undefined;
  readonly workdir: string | undefined;
}

const exec = {
  host: { type: 'string', description: 'Name of the host', defaultDescription: 'any', requiresArg: true },
  container: {
    type: 'string',
    description: 'Beginning of its id, as logs and events show it',
    defaultDescription: 'one that serves',
    requiresArg: true,
  },
  interactive: {
    alias: 'i',
    type: 'boolean',
    default: false,
    description: 'Give it what is read from stdin',
  },
  tty: {
    alias: 't',
    type: 'boolean',
    default: false,
    description: 'Give it a terminal, as wide as this one',
  },
  env: {
    alias: 'e',
    type: 'string',
    array: true,
    default: [] as string[],
    defaultDescription: 'none',
    description: 'NAME=VALUE, or NAME for the value it has here; repeatable',
    requiresArg: true,
  },
  user: {
    alias: 'u',
    type: 'string',
    description: 'USER or UID, with :GROUP',
    defaultDescription: "the container's",
    requiresArg: true,
  },
  workdir: {
    alias: 'w',
    type: 'string',
    description: 'Folder in the container to begin in',
    defaultDescription: "the container's",
    requiresArg: true,
  },
} as const;

export const EXEC_OPTION_NAMES: readonly string[] = Object.keys(exec);

/** In a container of one component. */
export function withExec<T>(parser: Argv<T>): Argv<ExecArguments> {
  return withHistory(parser)
    .positional('command', {
      type: 'string',
      array: true,
      description: 'After --: the command and its words',
    })
    .options(exec)
    .check(single('host', 'container', 'user', 'workdir')) as unknown as Argv<ExecArguments>;
}
