/** The options of `gantryd logs`. */
import type { Argv } from 'yargs';
import { type ComponentArguments, single, whole, withHistory } from './options.ts';

export interface LogsArguments extends ComponentArguments {
  readonly follow: boolean;
  /** []: all that run it. */
  readonly host: readonly string[];
  readonly since: string | undefined;
  readonly tail: number | undefined;
}

const logs = {
  follow: { alias: 'f', type: 'boolean', default: false, description: 'Go on with what comes' },
  host: {
    type: 'string',
    array: true,
    default: [] as string[],
    defaultDescription: 'all',
    description: 'Names of hosts',
    requiresArg: true,
  },
  since: { type: 'string', description: 'Only what is newer: 90s, 15m, 1h, 2d, or a time' },
  tail: {
    type: 'number',
    description: 'Begin with the last so many lines of each container',
    requiresArg: true,
  },
} as const;

/** Of one component, as `history`. */
export function withLogs<T>(parser: Argv<T>): Argv<LogsArguments> {
  return withHistory(parser)
    .options(logs)
    .check(single('since'))
    .check(whole('tail', 0)) as unknown as Argv<LogsArguments>;
}
