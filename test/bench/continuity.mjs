/** Part `continuity`: a ground for continuity/run.ts, which is compiled. `node continuity.mjs OUT.json ROUNDS SECONDS`. */
import { runOnGround } from './on-ground.mjs';

process.exitCode = await runOnGround('continuity/run.js', process.argv.slice(2));
