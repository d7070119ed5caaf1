/**
 * `npm run quickstart:fleet`: a rollout, a bad one and a rollback on three hosts under traffic, from a fresh clone.
 * Installs and builds what is missing, makes the hosts, shows demo.mjs and takes everything down again, whatever
 * happened. Plain JavaScript and Node alone, since it starts on a bare checkout.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPackages, isInstalled, refuseOldNode } from '../../test/ground/checkout.mjs';
import { removeLeftovers } from '../../test/ground/leftovers.mjs';
import { ENGINE_PACKAGES, ETCD_PACKAGES, installMissing, isRoot } from '../../test/ground/packages.mjs';
import { runCommand, stopRequest } from '../../test/ground/setup.mjs';

/** Whoever has just installed and built, as the tests have, need not do so again. */
const PREPARED = process.env.GANTRYD_QUICKSTART_PREPARED === '1';

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..', '..'));
process.exitCode = await main();

async function main() {
  const stop = stopRequest();
  try {
    refuseOldNode();
    if (!isRoot()) throw new Error('Making hosts on this machine takes root. Run this as root.');
    for (const prepare of PREPARED ? [] : [install, build]) {
      const code = await prepare(stop);
      if (code !== 0) return code;
    }
    installMissing([...ENGINE_PACKAGES, ...ETCD_PACKAGES], say);
    const removed = PREPARED ? 0 : await removeLeftovers();
    if (removed > 0) say(`removed what ${removed} killed run(s) had left behind`);
    return await show(stop);
  } catch (error) {
    console.error(`\n${error.message}`);
    return stop.code ?? 1;
  }
}

function install(stop) {
  if (!isInstalled()) say('installing the npm packages');
  return installPackages(stop);
}

function build(stop) {
  say('building gantryd');
  return runCommand('npm', ['run', '--silent', 'build'], { stop });
}

/** A signal ends the demonstration; what it made is taken down before this process ends. */
async function show(stop) {
  const { demonstrate } = await import('./demo.mjs');
  const interrupted = new AbortController();
  stop.listeners.add(() => interrupted.abort());
  const code = await demonstrate(interrupted.signal);
  return stop.code ?? code;
}

function say(line) {
  console.log(`[quickstart:fleet] ${line}`);
}
