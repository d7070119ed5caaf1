/**
 * `npm run quickstart`: an update under traffic, from a fresh clone. Installs and builds what is missing, finds
 * or starts a Docker engine, runs demo.mjs on it and takes everything down again, whatever happened. Plain
 * JavaScript and Node alone, since it starts on a bare checkout. What there is to see is in demo.mjs.
 */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPackages, isInstalled, refuseOldNode } from '../../test/ground/checkout.mjs';
import { ensureEngine, runCommand, runInside, stopRequest } from '../../test/ground/setup.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
/** Whoever has just installed and built, as the tests have, need not do so again. */
const PREPARED = process.env.GANTRYD_QUICKSTART_PREPARED === '1';

process.chdir(join(HERE, '..', '..'));
process.exitCode = await main();

async function main() {
  const stop = stopRequest();
  try {
    refuseOldNode();
    for (const prepare of PREPARED ? [] : [install, build]) {
      const code = await prepare(stop);
      if (code !== 0) return code;
    }
    return await onEngine((ground) => demonstrate(ground, stop));
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

async function onEngine(use) {
  const ground = await ensureEngine({ say });
  try {
    return await use(ground);
  } finally {
    await ground.close();
  }
}

/** The clean-up is a process of its own: it comes even after a demonstration that was killed. */
async function demonstrate(ground, stop) {
  const folder = join(ground.env.TMPDIR, 'shop');
  mkdirSync(folder);
  const node = (script) => [process.execPath, join(HERE, script), folder];
  const shown = await runInside(ground, node('demo.mjs'), { stop });
  const cleaned = await runInside(ground, node('clean.mjs'));
  if (cleaned === 0) say('removed containers, images, proxy and files');
  else console.error('The clean-up failed, see above.');
  return shown || cleaned;
}

function say(line) {
  console.log(`[quickstart] ${line}`);
}
