/** Which interfaces of this host lead straight to containers. Looks at addresses only. */
import { BlockList, isIPv4 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import type { Near } from './ruleset.ts';

const LOOPBACK = 'lo';

/** Remembers which, since asking takes a third of a millisecond: a switch mostly stays on the networks that are known. */
export class NearHere {
  readonly #asked = new Set<string>();
  #near: readonly Near[] = [];
  #areAll = true;

  /** Whether all that were asked for are near. */
  get areAll(): boolean {
    return this.#areAll;
  }

  /** Those of addresses that were asked for before may be among them. */
  of(addresses: readonly string[]): readonly Near[] {
    return addresses.every((address) => this.#isKnown(address)) ? this.#near : this.renew(addresses);
  }

  /** Asks anew. */
  renew(addresses: readonly string[]): readonly Near[] {
    this.#asked.clear();
    for (const address of addresses) this.#asked.add(address);
    this.#near = nearOf(this.#asked);
    this.#areAll = addresses.every((address) => this.#holds(address));
    return this.#near;
  }

  #isKnown(address: string): boolean {
    if (!this.#asked.has(address) && this.#holds(address)) this.#asked.add(address);
    return this.#asked.has(address);
  }

  #holds(address: string): boolean {
    return this.#near.some((near) => holds(near, address));
  }
}

/** The interfaces in whose network one of these addresses is. */
export function nearOf(addresses: Iterable<string>, interfaces = networkInterfaces()): Near[] {
  const wanted = [...new Set(addresses)];
  return Object.entries(interfaces).flatMap(([name, infos = []]) =>
    infos
      .filter(({ cidr }) => name !== LOOPBACK && cidr !== null)
      .filter((info) => wanted.some((address) => isWithin(address, info)))
      .map(({ cidr }) => ({ name, network: networkOf(cidr ?? '') })),
  );
}

function isWithin(address: string, { address: own, cidr }: NetworkInterfaceInfo): boolean {
  return holds({ network: `${own}/${lengthOf(cidr ?? '')}` }, address);
}

function holds({ network }: Pick<Near, 'network'>, address: string): boolean {
  const [own = ''] = network.split('/');
  if (isIPv4(address) !== isIPv4(own)) return false;
  const family = isIPv4(own) ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(own, lengthOf(network), family);
  return list.check(address, family);
}

/** 172.17.0.1/16 is of 172.17.0.0/16. */
function networkOf(cidr: string): string {
  const [address = ''] = cidr.split('/');
  const kept = lengthOf(cidr);
  const [width, parts] = isIPv4(address) ? [8, address.split('.').map(Number)] : [16, groupsOf(address)];
  const masked = parts.map((part, i) => part & partMask(width, kept - i * width));
  const written = width === 8 ? masked.join('.') : masked.map((part) => part.toString(16)).join(':');
  return `${written}/${kept}`;
}

function partMask(width: number, bits: number): number {
  const kept = Math.max(0, Math.min(width, bits));
  return ((1 << kept) - 1) << (width - kept);
}

/** The eight numbers of an IPv6 address. */
function groupsOf(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const numbers = (text: string) =>
    text === '' ? [] : text.split(':').map((part) => Number.parseInt(part, 16));
  if (tail === undefined) return numbers(head);
  const filled = 8 - numbers(head).length - numbers(tail).length;
  return [...numbers(head), ...Array<number>(filled).fill(0), ...numbers(tail)];
}

function lengthOf(cidr: string): number {
  return Number(cidr.split('/')[1]);
}
