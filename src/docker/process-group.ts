/**
 * Signals to what runs in a container, by the number that the engine knows its process by. That number is of the machine
 * of the engine: it is used only where the process of that number here is seen to be one of the container's.
 */
import { readFile } from 'node:fs/promises';
import { codeOf } from '../errors.ts';

/**
 * To the process and its group: the engine makes each command the leader of one. false: there is none here (any more),
 * or this process may not.
 */
export async function signalGroup(pid: number, container: string, name: NodeJS.Signals): Promise<boolean> {
  if (pid <= 1 || !(await isOf(pid, container))) return false;
  try {
    process.kill(-pid, name);
    return true;
  } catch (error) {
    if (['ESRCH', 'EPERM'].includes(codeOf(error))) return false;
    throw error;
  }
}

/** By its cgroups, whose paths have the id of the container. cgroups(7) */
async function isOf(pid: number, container: string): Promise<boolean> {
  const cgroups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
  return cgroups.includes(container);
}
