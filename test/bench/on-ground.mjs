/**
 * Runs one compiled script on a ground of its own, with hosts, as root, and takes away all that stands on it. A run that
 * was killed is cleared away by the next.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GROUND_VARIABLE, openFolder, removeGround, removeLeftovers, TEMP } from '../ground/leftovers.mjs';
import { isRoot } from '../ground/packages.mjs';
import { QUICK_START, runCommand, stopRequest } from '../ground/setup.mjs';

const COMPILED = new URL('../../dist/test/bench/', import.meta.url);

/** Answers its exit code. */
export async function runOnGround(script, args) {
  if (!isRoot()) throw new Error('hosts on this machine take root');
  const stop = stopRequest();
  await removeLeftovers();
  const folder = openFolder();
  try {
    const env = { ...process.env, ...QUICK_START, TMPDIR: join(folder, TEMP), [GROUND_VARIABLE]: folder };
    const file = fileURLToPath(new URL(script, COMPILED));
    return await runCommand(process.execPath, [file, ...args], { stop, env });
  } finally {
    await removeGround(folder);
  }
}
