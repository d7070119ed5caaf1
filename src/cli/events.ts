/** `gantryd events`: what happened and who asked for what, in the order of time, and as it comes. */
import { GantryError } from '../errors.ts';
import { printable } from '../event-words.ts';
import { eventLine } from '../fleet/kept-events.ts';
import type { Fleet } from '../fleet/look.ts';
import { type Asking, followTold, listTold, refuseUnknown, rowOf, type Told } from '../fleet/told.ts';
import { withFleet } from './etcd.ts';
import type { EventsArguments } from './events-options.ts';
import { interruptible } from './interrupt.ts';
import { type Output, outputOf } from './output.ts';

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export async function runEvents(args: EventsArguments): Promise<number> {
  const output = outputOf(args);
  await withFleet(args, async (fleet) => {
    const asking = askingOf(args, fleet.now());
    await refuseUnknown(fleet, args.project);
    if (args.follow) await interruptible((signal) => follow(fleet, asking, output, signal));
    else tell(output, await listTold(fleet.store, fleet.keys, asking));
  });
  return 0;
}

/** Until interrupted, or nobody reads any more. */
async function follow(fleet: Fleet, asking: Asking, output: Output, signal: AbortSignal): Promise<void> {
  const gone = new AbortController();
  const end = () => gone.abort();
  process.stdout.once('error', end);
  process.stdout.once('close', end);
  const following = followTold(fleet.store, fleet.keys, asking, (told) => tell(output, told));
  try {
    await aborted(AbortSignal.any([signal, gone.signal]));
  } finally {
    following.close();
    process.stdout.off('error', end);
    process.stdout.off('close', end);
  }
}

function tell(output: Output, told: readonly Told[]): void {
  for (const one of told) {
    output.document(rowOf(one), wordsOf(one));
  }
}

function wordsOf(told: Told): string {
  if (told.kind === 'event') return eventLine(told.value);
  const { at, by, action, on, detail } = told.value;
  const what = [action, ...on].join(' ');
  return printable(
    `${at.replace(/\.\d+Z$/, 'Z')} ${by} asked: ${what}${detail === '' ? '' : ` (${detail})`}`,
  );
}

function askingOf({ project, component, since, audit }: EventsArguments, now: number): Asking {
  return {
    ...{ project, components: component, audit, tokens: component.length === 0 },
    since: since === undefined ? undefined : timeOf(since, now),
  };
}

/** `90s`, `1h`, `2d` ago, or a time. */
function timeOf(text: string, now: number): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined) return now - Number(count) * (UNITS_MS[unit] ?? 0);
  const at = Date.parse(text);
  if (!Number.isNaN(at)) return at;
  throw new GantryError('usage', `--since ${text} is no time`, {
    hint: 'As 90s, 15m, 1h or 2d, or a time as 2030-01-31T12:00:00Z.',
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
