/**
 * Part `agent`: what an agent costs while nothing happens, and what it costs to plan. `node agent/run.js OUT.json
 * ROUNDS`. The variables below make it smaller, for a trial; GANTRYD_BENCH_AGENT=idle GANTRYD_BENCH_IDLE_ONLY=1 looks at
 * the largest agent alone.
 */

import { runSections, say, sizeOf } from '../sections.ts';
import { measureIdle } from './idle.ts';
import { measurePlans } from './plan.ts';

/** All that is at rest is looked at once in so long: that one time belongs to it. */
const IDLE_SECONDS = 300;

const [out = ''] = process.argv.slice(2);
const components = sizeOf('GANTRYD_BENCH_IDLE_COMPONENTS', 100);

await runSections(
  {
    plans: () => measurePlans([1, 100, 1_000]),
    idle: (t) =>
      measureIdle(t, {
        counts: process.env.GANTRYD_BENCH_IDLE_ONLY ? [components] : [0, 1, components],
        ms: 1_000 * sizeOf('GANTRYD_BENCH_IDLE_SECONDS', IDLE_SECONDS),
        say,
      }),
  },
  out,
  process.env.GANTRYD_BENCH_AGENT,
);
