/** Whether a box has a runner: who holds the lock says so in it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** In the state directory. */
export const RUNNER_LOCK = join('jobs', 'runner.lock');

/** The process that holds the lock; undefined: none does. */
export async function runnerPid(stateDir: string): Promise<number | undefined> {
  // Whoever takes the lock writes who he is, and takes it out before he gives it back.
  const pid = Number((await readFile(join(stateDir, RUNNER_LOCK), 'utf8').catch(() => '')).split(' ')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return (await commandOf(pid)).includes('\0runner\0') ? pid : undefined;
}

/** Its words, each with a NUL behind it; '': it has ended. */
export function commandOf(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
}
