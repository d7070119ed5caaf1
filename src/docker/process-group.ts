/**
 * Signals to what runs in a container, by the number that the engine knows its process by. That number is one among the
 * processes that the engine sees, which may have a process namespace of its own: a process here is taken for it only
 * when it is in a cgroup of the container, too.
 */
import { readdir, readFile } from 'node:fs/promises';
import { codeOf } from '../errors.ts';

/**
 * To the process and its group: the engine makes each command the leader of one. false: there is none here (any more),
 * or this process may not.
 */
export async function signalGroup(pid: number, container: string, name: NodeJS.Signals): Promise<boolean> {
  const here = pid > 1 ? await processHere(pid, container) : undefined;
  if (here === undefined) return false;
  try {
    process.kill(-here, name);
    return true;
  } catch (error) {
    if (['ESRCH', 'EPERM'].includes(codeOf(error))) return false;
    throw error;
  }
}

/** As this process numbers it; undefined: none of the container's has that number for the engine, or it has ended. */
export async function processHere(pid: number, container: string): Promise<number | undefined> {
  if (await isOf(pid, container)) return pid;
  for (const name of await readdir('/proc').catch(() => [])) {
    const each = Number(name);
    if (Number.isInteger(each) && (await isOf(each, container)) && (await numbersOf(each)).includes(pid))
      return each;
  }
  return undefined;
}

/** By its cgroups, whose paths have the id of the container. cgroups(7) */
async function isOf(pid: number, container: string): Promise<boolean> {
  return (await told(pid, 'cgroup')).includes(container);
}

/** In each process namespace from this one inwards, without the innermost: that one is the container's. proc(5) */
async function numbersOf(pid: number): Promise<readonly number[]> {
  const [, numbers = ''] = /^NSpid:\s+(.*)$/m.exec(await told(pid, 'status')) ?? [];
  return numbers.split(/\s+/).map(Number).slice(0, -1);
}

/** '': it has ended. */
function told(pid: number, file: 'cgroup' | 'status'): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
}
