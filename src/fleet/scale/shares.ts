/**
 * How a total is spread over hosts: from the present shares to the next ones. Even to within one, over the values of a
 * label and then over the hosts of each; and of all such spreads one that moves the fewest containers. What one of
 * these does not decide a hash does, so that every host comes to the same. Pure.
 */
import { createHash } from 'node:crypto';
import type { SharesValue } from '../../cluster/values.ts';

export type Shares = Readonly<Record<string, number>>;

/** A host that may have a share. */
export interface SpreadHost {
  readonly host: string;
  /** The value of the label that a total is evened out over first; '': it has none, or there is no such label. */
  readonly group: string;
}

export interface Spread {
  readonly component: string;
  readonly total: number;
  /** Those that live, or have not been gone for long. */
  readonly hosts: readonly SpreadHost[];
}

/** What is decided, without who decided it. */
export type Decision = Pick<SharesValue, 'total' | 'shares' | 'next' | 'arrived' | 'late'>;

/** How it goes with what was decided before. */
export interface Course {
  /** Nothing runs, so no host waits for another. */
  readonly atOnce?: boolean;
  /** Hosts that were to have more and have not in their time, with what they have. */
  readonly late?: Shares;
  /** Those that were late before are tried again. */
  readonly again?: boolean;
}

/** What is to be decided now; undefined: all is as it should be. `present` undefined: nothing was decided yet. */
export function nextDecision(
  spread: Spread,
  present: Decision | undefined,
  { atOnce = false, late = {}, again = false }: Course = {},
): Decision | undefined {
  const { total, hosts } = spread;
  if (hosts.length === 0) return undefined;
  const now = present?.shares ?? {};
  const goal = present?.next ?? now;
  const isSame = present?.total === total && isAllHere(hosts, goal);
  const bounds = isSame && !again ? boundsOf(spread, present) : {};
  const isGoal = isSame && isEvenWithin(spread, goal, bounds);
  if (!isGoal || (present.next !== undefined && !isAllHere(hosts, now))) {
    const aim = isGoal ? goal : evenWithin(spread, now, bounds);
    return atOnce ? { total, shares: aim } : towards(aim, spread, present, bounds);
  }
  if (present.next === undefined) return undefined;
  if (lateIn(present).length === 0 || atOnce) return following(present, atOnce);
  return withoutLate(spread, present, late);
}

/** What late hosts have; nothing, where somebody wrote what cannot be. */
function boundsOf({ total, hosts }: Spread, { late = {} }: Decision): Shares {
  const names = Object.keys(late);
  const isOf = names.every((name) => hosts.some((h) => h.host === name));
  const had = Object.values(late).reduce((a, b) => a + b, 0);
  return isOf && names.length < hosts.length && had <= total ? late : {};
}

/** The second step, once all that were to grow have. */
function following({ total, next = {}, late }: Decision, atOnce: boolean): Decision {
  return { total, shares: next, ...(late === undefined || atOnce ? {} : { late }) };
}

/** Who is late has what it has, and the others the rest; undefined: there are no others. */
function withoutLate(spread: Spread, present: Decision, late: Shares): Decision | undefined {
  const { shares, next = {}, arrived = [] } = present;
  const names = lateIn(present).filter(
    (host) => (late[host] ?? Number.POSITIVE_INFINITY) < (next[host] ?? 0),
  );
  const had = Object.fromEntries(names.map((host) => [host, late[host] ?? 0]));
  const bounds = { ...present.late, ...had };
  if (names.length === 0 || spread.hosts.every(({ host }) => Object.hasOwn(bounds, host))) return undefined;
  const now = { ...present, shares: { ...shares, ...had }, arrived: [...arrived, ...names] };
  return towards(evenWithin(spread, now.shares, bounds), spread, now, bounds);
}

/** What is to grow does so beside what is to shrink: that follows. */
function towards(aim: Shares, spread: Spread, present: Decision | undefined, bounds: Shares): Decision {
  const { total, hosts } = spread;
  const now = present?.shares ?? {};
  const of = (shares: Shares, host: string) => shares[host] ?? 0;
  const names = hosts.map((h) => h.host).sort();
  const grows = names.filter((host) => of(aim, host) > of(now, host));
  // Who was to grow by the decision before has nothing yet that others could give way to.
  const late = lateIn(present).filter((host) => of(aim, host) > 0);
  const bounded = isEven(spread, aim) ? {} : { late: bounds };
  if (late.length === 0 && grows.length === 0) return { total, shares: aim, ...bounded };
  const shares = Object.fromEntries(names.map((h) => [h, Math.max(of(aim, h), of(now, h))]));
  const arrived = names.filter((host) => !grows.includes(host) && !late.includes(host));
  return { total, shares, next: aim, arrived, ...bounded };
}

/** The hosts that were to grow and have not arrived yet. */
export function lateIn(
  decision: Pick<Decision, 'shares' | 'next' | 'arrived'> | undefined,
): readonly string[] {
  if (decision?.next === undefined) return [];
  const { shares, arrived = [] } = decision;
  return Object.keys(shares).filter((host) => !arrived.includes(host));
}

/** None has a share that is gone, and all are counted that are there. */
function isAllHere(hosts: readonly SpreadHost[], shares: Shares): boolean {
  return (
    hosts.length === Object.keys(shares).length && hosts.every(({ host }) => Object.hasOwn(shares, host))
  );
}

/** Every host has its own, even to within one, over the groups too. */
export function isEven({ total, hosts }: Spread, shares: Shares): boolean {
  if (!isAllHere(hosts, shares)) return false;
  const groups = [...grouped(hosts).values()];
  const sums = groups.map((some) => sumOf(some, shares));
  const each = groups.every((some) => isWithinOne(some.map(({ host }) => shares[host] ?? 0)));
  return each && isWithinOne(sums) && sums.reduce((a, b) => a + b, 0) === total;
}

/** The same, where some hosts have what they have, which is less. */
function isEvenWithin(spread: Spread, shares: Shares, bounds: Shares): boolean {
  const { rest, isBound } = apart(spread, bounds);
  if (!isAllHere(spread.hosts, shares)) return false;
  const own = Object.entries(shares).filter(([host]) => !isBound(host));
  const isKept = Object.keys(bounds).every((host) => shares[host] === bounds[host]);
  return isKept && isEven(rest, Object.fromEntries(own));
}

function evenWithin(spread: Spread, present: Shares, bounds: Shares): Shares {
  return { ...bounds, ...evenShares(apart(spread, bounds).rest, present) };
}

/** What is left to be spread over the others. */
function apart(spread: Spread, bounds: Shares) {
  const isBound = (host: string) => Object.hasOwn(bounds, host);
  const hosts = spread.hosts.filter(({ host }) => !isBound(host));
  const had = Object.values(bounds).reduce((a, b) => a + b, 0);
  return { rest: { ...spread, total: spread.total - had, hosts }, isBound };
}

function isWithinOne(numbers: readonly number[]): boolean {
  return Math.max(...numbers) - Math.min(...numbers) <= 1;
}

/** An even spread that is reached from `present` with the fewest moves. */
export function evenShares({ component, total, hosts }: Spread, present: Shares): Shares {
  const groups = [...grouped(hosts)].map(([name, some]) => ({ name, hosts: some }));
  const parts = divided(
    total,
    groups.map((g) => ({
      rank: rankOf(component, g.name),
      /** What one more costs in moves: -1 or 1. */
      cost: (given: number) => movesIn(given + 1, g.hosts, present) - movesIn(given, g.hosts, present),
    })),
  );
  const shares = groups.flatMap((g, i) => [...within(component, parts[i] ?? 0, g.hosts, present)]);
  return Object.fromEntries(shares.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function within(
  component: string,
  total: number,
  hosts: readonly SpreadHost[],
  present: Shares,
): ReadonlyMap<string, number> {
  const parts = divided(
    total,
    hosts.map(({ host, group }) => ({
      rank: rankOf(component, group, host),
      cost: (given: number) => ((present[host] ?? 0) > given ? -1 : 1),
    })),
  );
  return new Map(hosts.map(({ host }, i) => [host, parts[i] ?? 0]));
}

/** Containers that start or end when the hosts get so many in all. */
function movesIn(total: number, hosts: readonly SpreadHost[], present: Shares): number {
  const parts = within('', total, hosts, present); // whoever is first by rank, the moves are as many
  return hosts.reduce((sum, { host }) => sum + Math.abs((parts.get(host) ?? 0) - (present[host] ?? 0)), 0);
}

interface Part {
  readonly rank: string;
  /** Of having one more than `given`. */
  cost(given: number): number;
}

/** Even parts; those get one more whom it costs least, the first by rank of equals. */
function divided(total: number, parts: readonly Part[]): readonly number[] {
  const least = Math.floor(total / parts.length);
  const order = parts
    .map((part, i) => ({ i, cost: part.cost(least), rank: part.rank }))
    .sort((a, b) => a.cost - b.cost || (a.rank < b.rank ? -1 : 1));
  const more = new Set(order.slice(0, total - least * parts.length).map(({ i }) => i));
  return parts.map((_, i) => least + (more.has(i) ? 1 : 0));
}

function grouped(hosts: readonly SpreadHost[]): ReadonlyMap<string, readonly SpreadHost[]> {
  const groups = new Map<string, SpreadHost[]>();
  for (const host of hosts) groups.set(host.group, [...(groups.get(host.group) ?? []), host]);
  return groups;
}

function sumOf(hosts: readonly SpreadHost[], shares: Shares): number {
  return hosts.reduce((sum, { host }) => sum + (shares[host] ?? 0), 0);
}

/** Even over names, and the same everywhere. */
function rankOf(...names: readonly string[]): string {
  return createHash('sha256').update(names.join('\0')).digest('hex');
}
