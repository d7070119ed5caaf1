/** The words and options of `gantryd drains`. */
import { isIP } from 'node:net';
import type { Argv } from 'yargs';
import { GantryError } from '../../errors.ts';
import { COMPONENTS, type CommonArguments, refuseOdd } from '../options.ts';

/** Fewer would be found in too many ids. */
const MIN_PREFIX = 4;

export interface DrainsArguments extends CommonArguments {
  readonly action: 'cut' | undefined;
  /** What its id begins with; of `cut`. */
  readonly container: string | undefined;
  readonly project: string | undefined;
  /** []: all. */
  readonly component: readonly string[];
  readonly all: boolean;
  readonly client: string | undefined;
  /** Milliseconds. */
  readonly idle: number | undefined;
  readonly force: boolean;
}

const list = {
  ...COMPONENTS,
  all: { type: 'boolean', default: false, description: 'Also what holds containers that serve' },
} as const;

const cut = {
  client: { type: 'string', description: 'cut: only this client, as ADDRESS:PORT', requiresArg: true },
  idle: {
    type: 'number',
    description: 'cut: only what has been silent for so many milliseconds',
    requiresArg: true,
  },
  force: { type: 'boolean', default: false, description: 'cut: also of a container that serves' },
} as const;

const drains = {
  project: { type: 'string', description: 'Only of this project', requiresArg: true },
  ...list,
  ...cut,
} as const;

/** For "did you mean". */
export const DRAINS_OPTION_NAMES: readonly string[] = Object.keys(drains);

export function withDrainsOptions<T>(parser: Argv<T>) {
  return parser
    .positional('action', { choices: ['cut'] as const })
    .positional('container', { type: 'string', description: 'cut: what its id begins with' })
    .options(drains)
    .check((args) => checked(args as unknown as DrainsArguments)) as unknown as Argv<DrainsArguments>;
}

function checked(args: DrainsArguments): true {
  for (const name of ['project', 'client', 'idle'] as const) refuseOdd(name, args[name]);
  if (args.action === 'cut') checkCut(args);
  else if (args.client !== undefined || args.idle !== undefined || args.force)
    throw usage('--client, --idle and --force are of `drains cut CONTAINER`', 'Without them it only lists.');
  return true;
}

function checkCut({ container = '', client, idle, all, component }: DrainsArguments): void {
  if (container.length < MIN_PREFIX)
    throw usage(
      `Say which container: at least ${MIN_PREFIX} characters of its id`,
      '`gantryd drains` lists those that are held.',
    );
  if (all || component.length > 0)
    throw usage('--all and -c are for the list: what is cut is one container', 'See --client and --idle.');
  if (client !== undefined && !isPlace(client))
    throw usage(
      `--client cannot be ${JSON.stringify(client)}`,
      'It is ADDRESS:PORT, as `gantryd drains` tells it.',
    );
  if (idle !== undefined && (!Number.isSafeInteger(idle) || idle < 0))
    throw usage('--idle is a whole number of milliseconds', 'As --idle 60000 for a minute.');
}

function isPlace(text: string): boolean {
  const [, inBrackets, plain, port] = /^(?:\[(.+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  return isIP(inBrackets ?? plain ?? '') !== 0 && Number(port) > 0 && Number(port) < 65_536;
}

function usage(message: string, hint: string): GantryError {
  return new GantryError('usage', message, { hint });
}
