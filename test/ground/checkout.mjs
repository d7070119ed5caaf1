/** What turns a bare checkout into one that can be built. Plain JavaScript and Node alone. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './setup.mjs';

const OLDEST_NODE = [20, 19];
/** Whatever NODE_ENV says, building takes the development packages; none of them needs its install script. */
const INSTALL = ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'];

export function refuseOldNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]))
    throw new Error(`gantryd needs Node ${OLDEST_NODE.join('.')} or newer; this is ${process.version}`);
}

/** Answers npm's exit code; 0 at once when the packages are those of the lock file. */
export function installPackages(stop) {
  return isInstalled() ? 0 : runCommand('npm', INSTALL, { stop });
}

/** npm writes its own copy of the lock file last, so a killed installation does not count. */
export function isInstalled() {
  const installed = join('node_modules', '.package-lock.json');
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync('package-lock.json').mtimeMs;
}
