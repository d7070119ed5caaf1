/**
 * Part `agent`: what an agent costs while nothing happens, and what it costs to plan. `node agent-run.js OUT.json
 * ROUNDS`. The variables below make it smaller, for a trial.
 */
import { measureIdle } from './agent-idle.ts';
import { measurePlans } from './agent-plan.ts';
import { runSections, say, sizeOf } from './sections.ts';

const [out = ''] = process.argv.slice(2);

await runSections(
  {
    plans: () => measurePlans([1, 100, 1_000]),
    idle: (t) =>
      measureIdle(t, {
        components: sizeOf('GANTRYD_BENCH_IDLE_COMPONENTS', 100),
        ms: 1_000 * sizeOf('GANTRYD_BENCH_IDLE_SECONDS', 120),
        say,
      }),
  },
  out,
  process.env.GANTRYD_BENCH_AGENT,
);
