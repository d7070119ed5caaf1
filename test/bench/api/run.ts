/**
 * Part `api`: what an agent answers under a steady load, what followers of its events cost it, and how fast it scales
 * beside `docker run`, on a real engine. `node api/run.js OUT.json ROUNDS`. The variables below make it smaller, for a
 * trial.
 */

import { runSections, say, sizeOf } from '../sections.ts';
import { measureFollowers } from './followers.ts';
import { measureGet } from './get.ts';
import { measureScaling } from './scale.ts';

const [out = '', given = '5'] = process.argv.slice(2);

await runSections(
  {
    get: (t) =>
      measureGet(t, {
        components: sizeOf('GANTRYD_BENCH_API_COMPONENTS', 20),
        perSecond: sizeOf('GANTRYD_BENCH_API_RATE', 500),
        ms: 1_000 * sizeOf('GANTRYD_BENCH_API_SECONDS', 30),
        say,
      }),
    followers: (t) =>
      measureFollowers(t, {
        followers: sizeOf('GANTRYD_BENCH_FOLLOWERS', 200),
        settleMs: 1_000 * sizeOf('GANTRYD_BENCH_SETTLE_SECONDS', 60),
        say,
      }),
    scale: (t) =>
      measureScaling(t, { instances: sizeOf('GANTRYD_BENCH_SCALE', 20), rounds: Number(given), say }),
  },
  out,
  process.env.GANTRYD_BENCH_API,
);
