/**
 * What the kernel leads to one backend, from one reading to the next: since when each flow is known, and when its
 * bytes last moved. Reads nothing itself.
 */

import type { BackendReport, Peer } from '../control/protocol.ts';
import type { KernelFlow } from './plane.ts';

export interface CarriedFlow {
  readonly flow: KernelFlow;
  /** By performance.now(): when it was first seen. */
  readonly since: number;
  /** When its bytes were first seen as they are; undefined: nobody counts them. */
  readonly movedAt: number | undefined;
}

export class CarriedFlows {
  /** The oldest first. */
  #flows: ReadonlyMap<string, CarriedFlow> = new Map();
  #udp = 0;
  /** The process of the backend has ended. */
  gone = false;

  /** By performance.now(). Since then something may be here that was not read: until it is, that is one connection. */
  #expectedSince: number | undefined;

  get expected(): boolean {
    return this.#expectedSince !== undefined;
  }

  /** What was read before `since` (by performance.now()) does not know what is here. */
  expect(since: number): void {
    this.#expectedSince = since;
  }

  get open(): number {
    return this.expected ? 1 : this.#flows.size;
  }

  get udp(): number {
    return this.#udp;
  }

  get tcp(): number {
    return this.open - this.#udp;
  }

  get all(): Iterable<CarriedFlow> {
    return this.#flows.values();
  }

  oldestMs(now: number): number {
    const [oldest] = this.#flows.values();
    return oldest === undefined ? 0 : Math.round(now - oldest.since);
  }

  /** All that there was at `readAt`, when reading began. */
  see(flows: readonly KernelFlow[], readAt: number, now: number): void {
    if (this.#expectedSince !== undefined && readAt < this.#expectedSince) return;
    this.#expectedSince = undefined;
    if (flows.length === 0 && this.#flows.size === 0) return;
    const seen = new Map<string, CarriedFlow>();
    const fresh: [string, CarriedFlow][] = [];
    const present = new Map(flows.map((flow) => [keyOf(flow), flow]));
    for (const [key, before] of this.#flows) {
      const flow = present.get(key);
      if (flow === undefined) continue;
      present.delete(key);
      seen.set(key, { flow, since: before.since, movedAt: movedAt(before, flow, now) });
    }
    for (const [key, flow] of present)
      fresh.push([key, { flow, since: now, movedAt: flow.bytes === undefined ? undefined : now }]);
    this.#flows = new Map([...seen, ...fresh]);
    this.#udp = flows.filter(({ protocol }) => protocol === 'udp').length;
  }

  peers(now: number): Peer[] {
    return Array.from(this.#flows.values(), ({ flow, since, movedAt }) => ({
      client: flow.client,
      kind: flow.protocol,
      ageMs: Math.round(now - since),
      bytes: flow.bytes ?? 0,
      idleMs: Math.round(now - (movedAt ?? now)),
    }));
  }

  /** Its part of a report. */
  report(): Pick<BackendReport, 'udp' | 'kernel' | 'gone'> {
    return {
      ...(this.#udp === 0 ? {} : { udp: this.#udp }),
      ...(this.open === 0 ? {} : { kernel: this.open }),
      ...(this.gone ? { gone: true } : {}),
    };
  }
}

export function flowsByHost(flows: readonly KernelFlow[]): Map<string, KernelFlow[]> {
  const byHost = new Map<string, KernelFlow[]>();
  for (const flow of flows) {
    const same = byHost.get(flow.host);
    if (same === undefined) byHost.set(flow.host, [flow]);
    else same.push(flow);
  }
  return byHost;
}

function keyOf({ protocol, client, listenerPort, port }: KernelFlow): string {
  return `${protocol} ${client} ${listenerPort} ${port}`;
}

function movedAt(before: CarriedFlow, flow: KernelFlow, now: number): number | undefined {
  if (flow.bytes === undefined) return undefined;
  return flow.bytes === before.flow.bytes ? (before.movedAt ?? now) : now;
}
