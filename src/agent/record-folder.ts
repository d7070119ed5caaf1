/** Whether any record of a project was written, told by one question about their folder. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../errors.ts';

/** A file system's clock may stand still for some milliseconds: what was written just now may be written again unseen. */
const SETTLED_MS = 2_000;

/**
 * Equal answers: no record was written, by whatever process, between the two questions. undefined: it cannot be told,
 * as shortly after a write. `now`: the wall clock, epoch milliseconds.
 */
export async function recordsVersion(
  stateDir: string,
  project: string,
  now = Date.now(),
): Promise<string | undefined> {
  try {
    // Each write makes a new file there and renames it.
    const { ino, mtimeNs, mtimeMs } = await stat(join(stateDir, 'components', project), { bigint: true });
    const isSettled = Math.abs(now - Number(mtimeMs)) >= SETTLED_MS;
    return isSettled ? `${ino} ${mtimeNs}` : undefined;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'none';
    return undefined; // whoever reads a record meets it, and tells it
  }
}
