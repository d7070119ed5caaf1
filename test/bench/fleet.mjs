/**
 * Part `fleet`: a ground for fleet-run.ts, which is compiled, and its removal with all that stands on it. A run that
 * was killed is cleared away by the next. `node fleet.mjs OUT.json ROUNDS SECONDS`.
 */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GROUND_VARIABLE, openFolder, removeGround, removeLeftovers, TEMP } from '../ground/leftovers.mjs';
import { isRoot } from '../ground/packages.mjs';
import { runCommand, stopRequest } from '../ground/setup.mjs';

const RUN = fileURLToPath(new URL('../../dist/test/bench/fleet-run.js', import.meta.url));

if (!isRoot()) throw new Error('hosts on this machine take root');
const stop = stopRequest();
await removeLeftovers();
const folder = openFolder();
try {
  const env = { ...process.env, TMPDIR: join(folder, TEMP), [GROUND_VARIABLE]: folder };
  process.exitCode = await runCommand(process.execPath, [RUN, ...process.argv.slice(2)], { stop, env });
} finally {
  await removeGround(folder);
}
