/** What the kernel is to be told, from the tables in force. Pure. */

import type { OwnedTable } from '../control/protocol.ts';
import {
  type Backend,
  type CanarySplit,
  type LedRoute,
  type Listener,
  ledRoutes,
  planeOf,
} from '../tables/routes.ts';
import type { KernelEntry, KernelTarget } from './plane.ts';

/** The contract's range of a weight. */
const MAX_WEIGHT = 100;
const WHOLE = 100;

/** A listener that its table gives to the kernel, or would if this host can. */
export interface KernelListener {
  readonly owner: string;
  readonly listener: Listener;
  readonly route: LedRoute;
}

export function kernelListeners({ owner, table }: OwnedTable): KernelListener[] {
  return ledRoutes(table).flatMap((route) =>
    route.listeners
      .filter((listener) => planeOf(listener) !== 'userspace')
      .map((listener) => ({ owner, listener, route })),
  );
}

/** `isLed`: whether the kernel may lead there; the process of a backend may have ended. */
export function entryOf(
  { listener, route }: KernelListener,
  isLed: (backend: Backend) => boolean,
): KernelEntry {
  const { address, port, kind, containerPort } = listener;
  const backends = route.backends.filter(isLed);
  const weights = weightsOf(backends, route.canary);
  const targets = backends.map(
    ({ id, host, port = containerPort, pid }, at): KernelTarget => ({
      ...{ id, host, port, weight: weights[at] ?? 1 },
      ...(pid === undefined ? {} : { pid }),
    }),
  );
  return { protocol: kind === 'udp' ? 'udp' : 'tcp', address, port, targets };
}

/** Of each backend, such that those of a canary have its share together. */
export function weightsOf(backends: readonly Pick<Backend, 'id'>[], canary?: CanarySplit): number[] {
  const isTried = backends.map(({ id }) => canary?.backends.includes(id) === true);
  const tried = isTried.filter(Boolean).length;
  const others = backends.length - tried;
  if (canary === undefined || tried === 0 || others === 0) return backends.map(() => 1);
  const shares = [canary.percent * others, (WHOLE - canary.percent) * tried] as const;
  const most = Math.max(...shares);
  const [one, other] = shares.map((share) => Math.max(1, Math.round((share * MAX_WEIGHT) / most)));
  return isTried.map((is) => (is ? one : other) ?? 1);
}

/** Of a container on the host's own network: there is no address that the kernel could lead to. */
export function isOfThisHost({ host }: Pick<Backend, 'host'>): boolean {
  return host.startsWith('127.') || host === '::1';
}
