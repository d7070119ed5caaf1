/**
 * Brings the proxy into the control group of its unit. A command or an agent may have started it, within a session or a
 * service that is ended with all its processes. Does nothing unless systemd runs us as that unit.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, GantryError, messageOf } from '../../errors.ts';
import { PROXY_UNIT } from './units.ts';

const GROUPS = '/sys/fs/cgroup';

/** All generations of the proxy of that state directory, and its standby. Throws nothing but GantryError proxy-failed. */
export async function bringHome(stateDir: string): Promise<void> {
  try {
    const homes = homesIn(await readFile('/proc/self/cgroup', 'utf8'));
    if (homes.length === 0) return;
    const own = new Set((await Promise.all(homes.map(membersOf))).flat());
    const strays = (await processesOf(stateDir)).filter((pid) => !own.has(pid));
    for (const pid of strays) for (const home of homes) await move(pid, home);
  } catch (error) {
    throw new GantryError(
      'proxy-failed',
      `The proxy could not be moved to ${PROXY_UNIT}: ${messageOf(error)}`,
      {
        hint: 'It serves on, and ends with the session or service that it was started in.',
        cause: error,
      },
    );
  }
}

/** The folders of the unit's group in systemd's hierarchies, by what /proc/PID/cgroup says (cgroups(7)). Pure. */
export function homesIn(groups: string): readonly string[] {
  return groups.split('\n').flatMap((line) => {
    const [, hierarchy, path = ''] = /^\d+:(name=systemd|):(.*)$/.exec(line) ?? [];
    if (hierarchy === undefined || !path.endsWith(`/${PROXY_UNIT}`)) return [];
    // A machine with both kinds of hierarchies has the newer one in a folder of its own.
    const names = hierarchy === '' ? ['', 'unified'] : ['systemd'];
    return names.map((name) => join(GROUPS, name, path, 'cgroup.procs'));
  });
}

async function membersOf(home: string): Promise<readonly number[]> {
  try {
    return (await readFile(home, 'utf8')).split('\n').filter(Boolean).map(Number);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** What runs the proxy's main.js for the directory, or waits to. */
async function processesOf(stateDir: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      // Gone meanwhile.
      const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
      const at = words.indexOf('--state-dir');
      const isProxy = at > 0 && words[at + 1] === stateDir && words[at - 1]?.endsWith('/proxy/main.js');
      return isProxy === true ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}

async function move(pid: number, home: string): Promise<void> {
  try {
    await writeFile(home, String(pid), { flag: 'r+' });
  } catch (error) {
    // This hierarchy is not there, or the process is gone meanwhile.
    if (!['ENOENT', 'ESRCH'].includes(codeOf(error))) throw error;
  }
}
