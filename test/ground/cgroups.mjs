/** Empty control groups stay when a host's power went; those below a name of the ground's are removed with it. */
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const ROOT = '/sys/fs/cgroup';
const EMPTY_MS = 10_000;
const POLL_MS = 20;

/** In every hierarchy; waits for processes that are about to end. */
export async function removeCgroups(name) {
  const folders = ['', ...foldersIn(ROOT)].map((hierarchy) => join(ROOT, hierarchy, name));
  for (const folder of folders.filter(existsSync)) await removeTree(folder);
}

async function removeTree(folder) {
  for (const inner of foldersIn(folder)) await removeTree(join(folder, inner));
  for (const end = Date.now() + EMPTY_MS; !isRemoved(folder, Date.now() > end); ) await delay(POLL_MS);
}

function isRemoved(folder, must) {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if (error.code === 'ENOENT') return true;
    if (error.code === 'EBUSY' && !must) return false;
    throw error;
  }
}

function foldersIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}
