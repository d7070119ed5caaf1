/**
 * Part `continuity`: what deploys, faults and upgrades cut, and how fast things are healed and taken back, on real
 * engines. `node continuity/run.js OUT.json ROUNDS`. The variables below make it smaller, for a trial.
 */

import { runSections, say, sizeOf } from '../sections.ts';
import { measureConnections } from './connections.ts';
import { measureDeploys } from './deploys.ts';
import { measureHealing } from './healing.ts';
import { measureMemory } from './memory.ts';
import { measureRollbacks } from './rollback.ts';

const [out = '', given = '5'] = process.argv.slice(2);
const rounds = Number(given);
const connections = sizeOf('GANTRYD_BENCH_CONNECTIONS', 5_000);

await runSections(
  {
    deploys: (t) =>
      measureDeploys(t, {
        deploys: sizeOf('GANTRYD_BENCH_DEPLOYS', 100),
        requests: sizeOf('GANTRYD_BENCH_REQUESTS', 1_000_000),
        say,
      }),
    connections: (t) => measureConnections(t, { connections, say }),
    healing: (t) => measureHealing(t, { deaths: 2 * rounds, illnesses: Math.ceil(rounds / 2), say }),
    rollback: (t) => measureRollbacks(t, { rounds, say }),
    memory: (t) => measureMemory(t, { components: sizeOf('GANTRYD_BENCH_COMPONENTS', 50), connections, say }),
  },
  out,
  process.env.GANTRYD_BENCH_CONTINUITY,
);
