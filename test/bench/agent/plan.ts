/** What it costs to plan for 1, 100 and 1,000 components that are as wanted: time and memory, in this process. */
import { plan } from '../../../src/agent/plan/plan.ts';
import { seeded, servingWorld } from '../../agent/world.ts';

export interface PlanCost {
  readonly components: number;
  /** For all of them, the median of the rounds. */
  readonly ms: number;
  readonly kib: number;
}

const INSTANCES = 2;
const WARM_UP = 3_000;
const ROUNDS = 30;
/** Few enough for the collector to stay away: what a thousand plans leave it takes away while they are made. */
const BATCH = 10;
const BATCHES = 300;
const KIB = 1024;

export async function measurePlans(sizes: readonly number[]): Promise<{ plans: PlanCost[] }> {
  const world = servingWorld(seeded(1), INSTANCES);
  const { desired, observed } = { desired: world.desired(), observed: world.observe() };
  const planFor = (components: number) => {
    for (let i = 0; i < components; i++) plan(desired, observed);
  };
  planFor(WARM_UP);
  const kibOfOne = allocatedBy(() => planFor(BATCH)) / BATCH;
  return {
    plans: sizes.map((components) => {
      const times = Array.from({ length: ROUNDS }, () => elapsed(() => planFor(components)));
      return { components, ms: middle(times), kib: kibOfOne * components };
    }),
  };
}

function elapsed(work: () => void): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}

/** KiB, without what asking takes. */
function allocatedBy(work: () => void): number {
  const rise = (done: () => void) => {
    const rises = Array.from({ length: BATCHES }, () => {
      const before = process.memoryUsage().heapUsed;
      done();
      return (process.memoryUsage().heapUsed - before) / KIB;
    });
    return middle(rises.filter((kib) => kib > 0)); // less than nothing: the collector ran
  };
  return rise(work) - rise(() => {});
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
