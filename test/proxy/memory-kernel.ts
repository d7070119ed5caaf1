/** A kernel plane in memory: it tells what was applied in which order, carries what a test says, and fails on demand. */
import type {
  Ability,
  KernelEntry,
  KernelEvents,
  KernelFlow,
  KernelPlane,
} from '../../src/proxy/kernel/plane.ts';

export interface MemoryKernel extends KernelPlane {
  readonly open: (events: KernelEvents) => Promise<KernelPlane>;
  /** Of the one that was opened last. */
  events: KernelEvents | undefined;
  ables: Ability;
  /** Thrown by the next apply. */
  failure: Error | undefined;
  entries: readonly KernelEntry[];
  readonly applied: (readonly KernelEntry[])[];
  carried: KernelFlow[];
  readonly ended: KernelFlow[];
  purged: boolean;
  closed: boolean;
}

export function memoryKernel(): MemoryKernel {
  const kernel: MemoryKernel = {
    events: undefined,
    ables: { can: true },
    failure: undefined,
    entries: [],
    applied: [],
    carried: [],
    ended: [],
    purged: false,
    closed: false,
    async open(events) {
      kernel.events = events;
      return kernel;
    },
    ability: async () => kernel.ables,
    async apply(entries) {
      const { failure } = kernel;
      kernel.failure = undefined;
      if (failure !== undefined) throw failure;
      kernel.entries = entries;
      kernel.applied.push(entries);
    },
    flows: async () => [...kernel.carried],
    async end(flows) {
      const known = new Set(flows.map((flow) => flow.client));
      const ended = kernel.carried.filter(({ client }) => known.has(client));
      kernel.carried = kernel.carried.filter(({ client }) => !known.has(client));
      kernel.ended.push(...ended);
      return ended.length;
    },
    async purge() {
      kernel.entries = [];
      kernel.purged = true;
    },
    async close() {
      kernel.closed = true;
    },
  };
  return kernel;
}

export const NO_KERNEL = { openKernel: memoryKernel().open };
