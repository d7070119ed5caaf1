/** Part `api`: a ground for api/run.ts, which is compiled. `node api.mjs OUT.json ROUNDS SECONDS`. */
import { runOnGround } from './on-ground.mjs';

process.exitCode = await runOnGround('api/run.js', process.argv.slice(2));
