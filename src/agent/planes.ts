/** Which ports the kernel leads, and why not those that are to be led, in words. Pure. */
import type { ListenerReport, ProxyStatus } from '../proxy/control/protocol.ts';
import type { Observed } from './plan/state.ts';

/** [] when all are left to the proxy. */
export function planeWords(listeners: readonly ListenerReport[]): readonly string[] {
  const led = listeners.filter(({ plane }) => plane === 'kernel').map(placeOf);
  return [...(led.length === 0 ? [] : [`The kernel leads ${led.join(', ')}`]), ...notLedWords(listeners)];
}

/** Of one component. */
export function planesOf(
  { listeners }: Pick<ProxyStatus, 'listeners'>,
  component: string,
): Pick<Observed, 'planes'> {
  const planes = planeWords(listeners.filter((of) => of.component === component));
  return planes.length === 0 ? {} : { planes };
}

export function notLedWords(listeners: readonly ListenerReport[]): readonly string[] {
  return listeners.flatMap((listener) => {
    const { planeWhy } = listener;
    return planeWhy === undefined ? [] : [`The kernel does not lead ${placeOf(listener)}: ${planeWhy}`];
  });
}

/** An address and a port as operators write them. */
export function placeOf({ address, port, kind }: Pick<ListenerReport, 'address' | 'port' | 'kind'>): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return `${host}:${port}${kind === 'udp' ? '/udp' : ''}`;
}
