/**
 * Part `jobs`: one-shot tasks and pipelines beside `docker run`, schedules and bursts on three hosts under faults, on
 * real engines. `node jobs/run.js OUT.json ROUNDS`. The variables below make it smaller, for a trial.
 */

import { runSections, say, sizeOf } from '../sections.ts';
import { measureBurst } from './burst.ts';
import { measureOneShots } from './oneshot.ts';
import { measurePipelines } from './pipeline.ts';
import { measureTicks } from './ticks.ts';

const [out = '', given = '5'] = process.argv.slice(2);
const rounds = Number(given);

await runSections(
  {
    oneshot: (t) => measureOneShots(t, { rounds: 2 * rounds, say }),
    pipeline: (t) =>
      measurePipelines(t, {
        mebibytes: sizeOf('GANTRYD_BENCH_PIPELINE_MIB', 1024),
        rounds: Math.ceil(rounds / 3),
        say,
      }),
    burst: (t) => measureBurst(t, { jobs: sizeOf('GANTRYD_BENCH_BURST', 200), say }),
    ticks: (t) =>
      measureTicks(t, {
        ticks: sizeOf('GANTRYD_BENCH_TICKS', 1_000),
        leaderEveryMs: 1_000 * sizeOf('GANTRYD_BENCH_LEADER_SECONDS', 90),
        say,
      }),
  },
  out,
  process.env.GANTRYD_BENCH_JOBS,
);
