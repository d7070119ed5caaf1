/**
 * Part `dataplane`: what carries requests to containers, side by side: gantryd's three paths, other proxies, and the
 * container itself. Runs inside a network namespace of its own (run.mjs makes it), so that all it sets up goes with it.
 * `node dataplane.mjs OUT.json ROUNDS SECONDS`. The variables below make it smaller, for a trial.
 */
import { runSections, say, sizeOf } from '../../dist/test/bench/sections.js';
import { measureCrowd } from './dataplane/crowd.mjs';
import { measureDeaths } from './dataplane/deaths.mjs';
import { raiseFiles } from './dataplane/ground.mjs';
import { measureHttp, measureKernel, measureTcp } from './dataplane/paths.mjs';
import { measureRoutes } from './dataplane/routes.mjs';
import { measureSwitches } from './dataplane/switches.mjs';
import { measureWorkers } from './dataplane/workers.mjs';

const [out, rounds, seconds] = process.argv.slice(2);
const options = { rounds: Number(rounds), seconds: Number(seconds), say };

raiseFiles();
await runSections(
  {
    http: (ends) => measureHttp(ends, options),
    tcp: (ends) => measureTcp(ends, options),
    kernel: (ends) => measureKernel(ends, options),
    workers: (ends) => measureWorkers(ends, options),
    crowd: (ends) => measureCrowd(ends, { connections: sizeOf('GANTRYD_BENCH_CROWD', 10_000), say }),
    switches: (ends) =>
      measureSwitches(ends, {
        switches: sizeOf('GANTRYD_BENCH_SWITCHES', 100),
        connections: sizeOf('GANTRYD_BENCH_SWITCH_CONNECTIONS', 250_000),
        say,
      }),
    deaths: (ends) => measureDeaths(ends, { deaths: sizeOf('GANTRYD_BENCH_DEATHS', 20), say }),
    routes: (ends) => measureRoutes(ends, options),
  },
  out,
  process.env.GANTRYD_BENCH_DATAPLANE,
);
