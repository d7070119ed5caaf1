/** Part `fleet`: a ground for fleet/run.ts, which is compiled. `node fleet.mjs OUT.json ROUNDS SECONDS`. */
import { runOnGround } from './on-ground.mjs';

process.exitCode = await runOnGround('fleet/run.js', process.argv.slice(2));
