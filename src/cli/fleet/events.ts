/** `gantryd events`: what happened and who asked for what, in the order of time, and as it comes. */
import { printable } from '../../event-words.ts';
import { eventLine } from '../../fleet/events/kept-events.ts';
import {
  type Asking,
  followTold,
  listTold,
  refuseUnknown,
  rowOf,
  type Told,
} from '../../fleet/events/told.ts';
import type { Fleet } from '../../fleet/intents/look.ts';
import { withFleet } from '../etcd.ts';
import { interruptible } from '../interrupt.ts';
import { type Output, outputOf } from '../output.ts';
import type { EventsArguments } from './events-options.ts';
import { sinceOf } from './since.ts';

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
    since: since === undefined ? undefined : sinceOf(since, now),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
