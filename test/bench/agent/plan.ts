/** What it costs to plan for 1, 100 and 1,000 components that are as wanted: time and memory, in this process. */
import { plan } from '../../../src/agent/plan.ts';
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
const KIB = 1024;

export async function measurePlans(sizes: readonly number[]): Promise<{ plans: PlanCost[] }> {
  const world = servingWorld(seeded(1), INSTANCES);
  const { desired, observed } = { desired: world.desired(), observed: world.observe() };
  for (let i = 0; i < WARM_UP; i++) plan(desired, observed);
  return {
    plans: sizes.map((components) => {
      const rounds = Array.from({ length: ROUNDS }, () => {
        const heap = process.memoryUsage().heapUsed;
        const began = performance.now();
        for (let i = 0; i < components; i++) plan(desired, observed);
        const ms = performance.now() - began;
        return { ms, kib: (process.memoryUsage().heapUsed - heap) / KIB };
      });
      // A round in which the collector ran says nothing of what was allocated.
      const whole = rounds.filter(({ kib }) => kib > 0);
      return { components, ms: middle(rounds.map((r) => r.ms)), kib: middle(whole.map((r) => r.kib)) };
    }),
  };
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
