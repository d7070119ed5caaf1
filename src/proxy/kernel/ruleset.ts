/**
 * The rules of the kernel plane as text for nft: one table, whose rules are always the same and whose maps say where
 * each place leads. Pure: what is wanted goes in, a transaction comes out, whole or only what has changed.
 *
 * A new connection meets one map (the place: verdict), and where it is in there a second one (the place, or a number
 * drawn by chance and the place: target). So its cost does not grow with the places.
 */
import { isIPv6 } from 'node:net';
import type { KernelEntry, KernelTarget } from './plane.ts';

/** The bit of a connection's mark that says it is ours; all other bits stay as others set them. */
export const MARK_BIT = 0x10000000;
export const MARK = `0x${MARK_BIT.toString(16)}`;
/** Before Docker's, which are at -100. */
const NAT_PRIORITY = -105;
const MASQUERADE_PRIORITY = 95;
/** Before anything else looks at a packet, connection tracking included. */
const FIRST_PRIORITY = -301;
const ANY_IPV4 = '0.0.0.0';
const ANY = '::';

/**
 * Chains for as many parts are there from the start: nft 1.0.6 takes a rule with one of our maps only together with the
 * map ("conflicting protocols specified"), so that one more chain costs all of the table.
 */
const READY_PARTS = 8;

type Family = 4 | 6;
/** Places of all addresses, and of one, of IPv4 and of IPv6. */
type Group = 'any4' | 'any6' | 'at4' | 'at6';
const GROUPS: readonly Group[] = ['at4', 'any4', 'at6', 'any6'];
const READY_SPLITS: ReadonlySet<string> = new Set(
  GROUPS.flatMap((group) => Array.from({ length: READY_PARTS }, (_, n) => `${group}_by${n + 1}`)),
);

/** An interface behind which targets are, and its network: clients from there need replies to come back by us. */
export interface Near {
  readonly name: string;
  /** As in 172.17.0.0/16. */
  readonly network: string;
}

export interface Wanted {
  readonly entries: readonly KernelEntry[];
  readonly near: readonly Near[];
  /** Whether clients on 127.0.0.0/8 are led too. */
  readonly loopback: boolean;
}

/** What the table holds. */
export interface Ruleset {
  readonly loopback: boolean;
  readonly near: readonly Near[];
  /** By protocol, address and port. */
  readonly places: ReadonlyMap<string, Place>;
  /** Chains for places with several targets, as `any4_by3`. */
  readonly splits: ReadonlySet<string>;
}

interface Place {
  readonly entry: KernelEntry;
  /** Two that are alike have the same elements. */
  readonly leads: string;
}

/** What has to be in the table for these. */
export function rulesetOf({ entries, near, loopback }: Wanted): Ruleset {
  const led = entries.filter(({ targets }) => targets.length > 0);
  const places = new Map(led.map((entry) => [listenerOf(entry), { entry, leads: leadsOf(entry) }]));
  return { loopback, near, places, splits: new Set(led.flatMap(splitsOf)) };
}

/** Replaces whatever a table of that name holds, in one transaction. */
export function wholeText(table: string, ruleset: Ruleset, stamp: string): string {
  const chains = [...new Set([...READY_SPLITS, ...ruleset.splits])].map(
    (split) => `chain ${split} { ${splitRules(split).join('; ')}; }`,
  );
  return [
    `add table inet ${table}`,
    `delete table inet ${table}`,
    `table inet ${table} {`,
    'set stamp { type mark; }',
    ...GROUPS.flatMap(mapsOf),
    'set own4 { type ipv4_addr . inet_proto . inet_service; }',
    'set own6 { type ipv6_addr . inet_proto . inet_service; }',
    'set near4 { type ifname . ipv4_addr; flags interval; }',
    'set near6 { type ifname . ipv6_addr; flags interval; }',
    ...chains,
    ...baseChains(ruleset.loopback),
    '}',
    ...changes(table, undefined, ruleset),
    `add element inet ${table} stamp { ${stamp} }`,
    '',
  ].join('\n');
}

/**
 * Makes `next` of `now`, in one line and one transaction; '' when they lead every connection alike, undefined when
 * only `wholeText` can.
 */
export function changeText(table: string, now: Ruleset, next: Ruleset, stamp: string): string | undefined {
  if (now.loopback !== next.loopback) return undefined;
  const elements = changes(table, now, next);
  if (elements.length === 0) return '';
  const chains = [...next.splits].filter((split) => !READY_SPLITS.has(split) && !now.splits.has(split));
  return [
    ...chains.map((split) => `add chain inet ${table} ${split}`),
    ...chains.flatMap((split) => splitRules(split).map((rule) => `add rule inet ${table} ${split} ${rule}`)),
    ...elements,
    `flush set inet ${table} stamp`,
    `add element inet ${table} stamp { ${stamp} }`,
  ].join('; ');
}

/** What is in the table once `changeText` was taken: chains are only ever added. */
export function afterChange(now: Ruleset, next: Ruleset): Ruleset {
  return { ...next, splits: new Set([...now.splits, ...next.splits]) };
}

export function familyOf(addressOrNetwork: string): Family {
  return addressOrNetwork.includes(':') ? 6 : 4;
}

/** By the name of the map or set: keys, and what they lead to ('' in a set). */
type Elements = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Only of places that are not what they were, so that a change costs what it changes. */
function changes(table: string, now: Ruleset | undefined, next: Ruleset): string[] {
  const differs = (key: string) => now?.places.get(key)?.leads !== next.places.get(key)?.leads;
  const present = elementsOf(now, differs);
  const wanted = elementsOf(next, differs);
  const names = new Set([...present.keys(), ...wanted.keys()]);
  return [...names].flatMap((name) => changed(table, name, present.get(name), wanted.get(name)));
}

function elementsOf(ruleset: Ruleset | undefined, isAsked: (key: string) => boolean): Elements {
  const elements = new Map<string, Map<string, string>>();
  const put = (name: string, key: string, value: string) =>
    elements.set(name, (elements.get(name) ?? new Map<string, string>()).set(key, value));
  for (const { name, network } of ruleset?.near ?? [])
    put(`near${familyOf(network)}`, `"${name}" . ${network}`, '');
  for (const [key, { entry }] of ruleset?.places ?? [])
    if (isAsked(key)) {
      for (const { host } of entry.targets)
        put(`own${familyOf(host)}`, `${host} . ${entry.protocol} . ${entry.port}`, '');
      for (const group of groupsOf(entry)) {
        const slots = slotsOf(entry, group);
        if (slots.length === 0) continue;
        const place = placeOf(entry, group);
        put(group, place, `goto ${splitOf(group, slots)}`);
        if (slots.length === 1) put(`${group}_one`, place, endOf(slots[0]));
        else for (const [n, slot] of slots.entries()) put(`${group}_many`, `${n} . ${place}`, endOf(slot));
      }
    }
  return elements;
}

function listenerOf({ protocol, address, port }: KernelEntry): string {
  return `${protocol} ${address} ${port}`;
}

function leadsOf({ targets }: KernelEntry): string {
  return targets.map(({ host, port, weight }) => `${host} ${port} ${weight}`).join(' ');
}

function splitsOf(entry: KernelEntry): string[] {
  return groupsOf(entry)
    .map((group) => ({ group, slots: slotsOf(entry, group) }))
    .filter(({ slots }) => slots.length > 0)
    .map(({ group, slots }) => splitOf(group, slots));
}

function splitOf(group: Group, slots: readonly unknown[]): string {
  return `${group}_by${slots.length}`;
}

function familyOfGroup(group: Group): Family {
  return group.endsWith('4') ? 4 : 6;
}

function groupsOf({ address }: KernelEntry): Group[] {
  if (address === ANY) return ['any4', 'any6'];
  if (address === ANY_IPV4) return ['any4'];
  return [isIPv6(address) ? 'at6' : 'at4'];
}

function placeOf({ protocol, address, port }: KernelEntry, group: Group): string {
  const place = `${protocol} . ${port}`;
  return group.startsWith('at') ? `${address} . ${place}` : place;
}

/** Each target that the group can lead to, as often as its weight says, in the smallest whole numbers. */
function slotsOf({ targets }: KernelEntry, group: Group): KernelTarget[] {
  const led = targets.filter(({ host }) => familyOf(host) === familyOfGroup(group));
  const divisor = led.reduce((found, { weight }) => greatestCommonDivisor(found, weight), 0);
  return led.flatMap((target) => Array.from({ length: target.weight / divisor }, () => target));
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function endOf(target: KernelTarget | undefined): string {
  return `${target?.host} . ${target?.port}`;
}

function mapsOf(group: Group): string[] {
  const address = `ipv${familyOfGroup(group)}_addr`;
  const packet = familyOfGroup(group) === 4 ? 'ip daddr' : 'ip6 daddr';
  const place = group.startsWith('at')
    ? `${address} . inet_proto . inet_service`
    : 'inet_proto . inet_service';
  return [
    `map ${group} { type ${place} : verdict; }`,
    `map ${group}_one { type ${place} : ${address} . inet_service; }`,
    // A drawn number has no name as a type, so all of it is told by example.
    `map ${group}_many { typeof numgen random mod 2 . ${keyOf(group)} : ${packet} . th dport; }`,
  ];
}

/** What is looked up of a packet. */
function keyOf(group: Group): string {
  const place = 'meta l4proto . th dport';
  if (group === 'at4') return `ip daddr . ${place}`;
  return group === 'at6' ? `ip6 daddr . ${place}` : place;
}

/** `any4_by3`: to one of three. Here the connection gets its mark: only those that are in a map come here. */
function splitRules(split: string): string[] {
  const [group, parts] = split.split('_by') as [Group, string];
  const place = keyOf(group);
  const target =
    parts === '1' ? `${place} map @${group}_one` : `numgen random mod ${parts} . ${place} map @${group}_many`;
  const here = group.startsWith('any') ? 'fib daddr type local ' : '';
  const family = familyOfGroup(group) === 4 ? 'ip' : 'ip6';
  const mark = `ct mark set ct mark | ${MARK}`;
  return [
    // A container that comes to its own place: only few bridges send a packet back where it came from.
    `${family} saddr . meta l4proto . th dport @own${familyOfGroup(group)} return`,
    `${here}meta l4proto { tcp, udp } ${mark} dnat ${family} to ${target}`,
  ];
}

function baseChains(loopback: boolean): string[] {
  const ours = `ct mark & ${MARK} == ${MARK}`;
  return [
    'chain lead {',
    // Nothing rewrites IPv6 to or from its loopback address, so those are for the socket.
    'ip6 daddr ::1 return',
    ...(loopback ? [] : ['ip daddr 127.0.0.0/8 return']),
    ...GROUPS.map((group) => {
      const family = familyOfGroup(group) === 4 ? 'ipv4' : 'ipv6';
      return `meta nfproto ${family} meta l4proto { tcp, udp } ${keyOf(group)} vmap @${group}`;
    }),
    '}',
    `chain prerouting { type nat hook prerouting priority ${NAT_PRIORITY}; goto lead; }`,
    `chain output { type nat hook output priority ${NAT_PRIORITY}; goto lead; }`,
    `chain postrouting { type nat hook postrouting priority ${MASQUERADE_PRIORITY};`,
    // The container must not see an address that only means the host to the host.
    `${ours} ip saddr 127.0.0.0/8 oifname != "lo" masquerade`,
    // A neighbour of the container: replies must come by us, not straight from the one to the other.
    `${ours} oifname . ip saddr @near4 masquerade`,
    `${ours} oifname . ip6 saddr @near6 masquerade`,
    '}',
    `chain martians { type filter hook prerouting priority ${FIRST_PRIORITY};`,
    // The only rules that each packet meets: first what next to none has, and no name of an interface.
    'ip daddr 127.0.0.0/8 iif != "lo" drop',
    'ip saddr 127.0.0.0/8 iif != "lo" drop',
    '}',
  ];
}

type Keys = ReadonlyMap<string, string>;

/** Removals first: a key may come back with another target. */
function changed(table: string, name: string, now: Keys = new Map(), next: Keys = new Map()): string[] {
  const gone = [...now].filter(([key, value]) => next.get(key) !== value).map(([key]) => key);
  const fresh = [...next].filter(([key, value]) => now.get(key) !== value);
  const written = fresh.map(([key, value]) => (value === '' ? key : `${key} : ${value}`));
  return [
    ...(gone.length === 0 ? [] : [`delete element inet ${table} ${name} { ${gone.join(', ')} }`]),
    ...(fresh.length === 0 ? [] : [`add element inet ${table} ${name} { ${written.join(', ')} }`]),
  ];
}
