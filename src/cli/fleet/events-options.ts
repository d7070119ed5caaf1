/** The options of `gantryd events`. */
import type { Argv } from 'yargs';
import { COMPONENTS } from '../options.ts';
import { type FleetArguments, single, withProject } from './options.ts';

export interface EventsArguments extends FleetArguments {
  readonly follow: boolean;
  /** []: all. */
  readonly component: readonly string[];
  readonly since: string | undefined;
  readonly audit: boolean;
}

const events = {
  follow: { alias: 'f', type: 'boolean', default: false, description: 'Go on with what comes' },
  ...COMPONENTS,
  since: { type: 'string', description: 'Only what is newer: 90s, 15m, 1h, 2d, or a time' },
  audit: { type: 'boolean', default: false, description: 'Also who asked for what' },
} as const;

export function withEvents<T>(parser: Argv<T>): Argv<EventsArguments> {
  return withProject(parser).options(events).check(single('since')) as unknown as Argv<EventsArguments>;
}
