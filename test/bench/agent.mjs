/** Part `agent`: a ground for agent/run.ts, which is compiled. `node agent.mjs OUT.json ROUNDS SECONDS`. */
import { runOnGround } from './on-ground.mjs';

process.exitCode = await runOnGround('agent/run.js', process.argv.slice(2));
