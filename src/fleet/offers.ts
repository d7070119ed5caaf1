/**
 * The links that a component defines, as this host offers them to the others: for as long as its containers here serve
 * and it has not said that it leaves.
 */
import type { View } from '../agent/agent.ts';
import type { Surroundings } from './surroundings.ts';

export function tellOffers(
  { desired, observed, record }: View,
  { host, address, keys, leased }: Pick<Surroundings, 'host' | 'address' | 'keys' | 'leased'>,
  leaves: boolean,
): void {
  const serves = !leaves && observed.containers.some((c) => c.routed);
  for (const { name } of desired.release?.component.definesLinks ?? []) {
    const port = record.linkPorts[name];
    const key = keys.link(name, host);
    if (serves && address !== undefined && port !== undefined) {
      leased.put(key, { format: 1, host, address, port }, { news: true });
    } else {
      leased.delete(key);
    }
  }
}
