/** Part `jobs`: a ground for jobs/run.ts, which is compiled. `node jobs.mjs OUT.json ROUNDS SECONDS`. */
import { runOnGround } from './on-ground.mjs';

process.exitCode = await runOnGround('jobs/run.js', process.argv.slice(2));
