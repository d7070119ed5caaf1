/**
 * How an agent ends that is told to take along what runs here (`--stop-on-exit`): others have its share of each total
 * first, as far as there are others, then consumers of its links are led elsewhere, and then it drains.
 */
import type { Keys } from '../../cluster/keys.ts';
import type { Entry, Store } from '../../cluster/store.ts';
import { untilWritten } from '../../cluster/until.ts';
import { readLink, readShares, type SharesValue, type StatusValue } from '../../cluster/values.ts';
import type { AgentEvent } from '../../events.ts';
import { pause } from '../../poke.ts';
import type { FleetComponent } from '../component.ts';
import { allStatusesOf, hostsOf } from '../intents/look.ts';
import type { LeasedKeys } from '../leased.ts';
import type { LinkRoutes } from '../links.ts';
import type { FollowedIndex } from '../looks/followed-index.ts';

/** Others have so long to bring up what is to go here. */
const TAKING_OVER_MS = 60_000;
/** Far more than it takes others to hear that a link is offered here no more. */
const LEADING_MS = 1_000;

export interface TakingAlong {
  readonly project: string;
  readonly host: string;
  readonly keys: Keys;
  readonly store: Store;
  readonly components: readonly FleetComponent[];
  readonly index: FollowedIndex;
  readonly leased: LeasedKeys;
  readonly links: LinkRoutes;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** etcd is there and tells what is so. */
  readonly isCurrent: () => boolean;
  readonly emit: (event: AgentEvent) => void;
  readonly onTrouble: (error: unknown) => void;
}

/** Resolves when nothing is left. The others know already that this host runs nothing any more. */
export async function takeAlong(input: TakingAlong): Promise<void> {
  const { components, links } = input;
  const forever = new AbortController().signal;
  await letTakeOver(input).catch(input.onTrouble);
  await Promise.all(components.map((component) => component.beginLeaving()));
  await leadElsewhere(input);
  await Promise.all(components.map((component) => component.leave(forever)));
  await links.leave();
}

/** Until others have what of totals is here; for the rest it is of no use to wait. */
async function letTakeOver(input: TakingAlong): Promise<void> {
  const { project, keys, store, leased, now, isCurrent, emit } = input;
  const names = input.components.filter((c) => c.hasShare).map((c) => c.name);
  if (names.length === 0 || !isCurrent()) return;
  await leased.flush();
  const why = 'other hosts have its share first';
  const until = now() + TAKING_OVER_MS;
  for (const component of names) emit({ kind: 'waiting', for: 'fleet', why, until, component, at: now() });
  await untilWritten(store, {
    range: keys.project(project).allStatuses(),
    waitMs: TAKING_OVER_MS,
    signal: new AbortController().signal,
    look: () => Promise.all([hostsOf(input, project), allStatusesOf(input, project), sharesOf(input, names)]),
    isDone: ([hosts, statuses, shares]) =>
      !isCurrent() ||
      names.every((name, i) => {
        const others = hosts.filter((h) => h.components.includes(name)).map((h) => h.host);
        return isTakenOver(input.host, { others, statuses: statuses.get(name) ?? [], shares: shares[i] });
      }),
  });
}

function sharesOf({ store, keys, project }: TakingAlong, names: readonly string[]) {
  const at = keys.project(project);
  return Promise.all(names.map((name) => store.get(at.shares(name)).then(readShares)));
}

export interface TakingOver {
  /** That run the component now. */
  readonly others: readonly string[];
  readonly statuses: readonly StatusValue[];
  readonly shares: SharesValue | undefined;
}

/** It is decided who has what `host` had, and they have it; or nobody is there to have it. Pure. */
export function isTakenOver(host: string, { others, statuses, shares }: TakingOver): boolean {
  if (others.length === 0 || shares === undefined) return true;
  if (Object.hasOwn(shares.shares, host)) return false;
  return others.every((other) => {
    const status = statuses.find((s) => s.host === other);
    const serving = status?.containers.filter((c) => c.state === 'serving').length ?? 0;
    return (status?.size?.shares ?? 0) >= shares.number && serving >= (shares.shares[other] ?? 0);
  });
}

/** Consumers on other hosts are led elsewhere first, as far as there is anybody else. */
async function leadElsewhere({ host, index, leased, onTrouble }: TakingAlong): Promise<void> {
  const isOurs = (entry: Entry) => readLink(entry)?.host === host;
  const shared = (entries: readonly Entry[]) => entries.some(isOurs) && !entries.every(isOurs);
  if (![...index.offers().values()].some(shared)) return;
  await leased.flush().catch(onTrouble);
  await pause(LEADING_MS, new AbortController().signal);
}
