/**
 * `npm test`, whole: install, build, check, ground, tests, clean up. Plain JavaScript and Node alone, since it
 * starts on a bare checkout. `npm test -- PATTERN…` runs only the test files whose path contains a PATTERN.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureEngine, runCommand, runInside, stopRequest } from './ground/setup.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const GROUPS = [
  { title: 'unit and integration', concurrency: 2, timeoutMs: 120_000, holds: (file) => !isEndToEnd(file) },
  { title: 'end to end', concurrency: 1, timeoutMs: 300_000, holds: isEndToEnd },
];
const OLDEST_NODE = [20, 19];

process.chdir(ROOT);
process.exitCode = await main(process.argv.slice(2));

async function main(patterns) {
  const stop = stopRequest();
  try {
    refuseOldNode();
    const files = testFiles(patterns);
    for (const step of [install, build, check]) {
      const code = await phase(step.name, () => step(stop));
      if (code !== 0) return code;
    }
    return await withGround((ground) => testGroups(ground, files, stop));
  } catch (error) {
    console.error(`\n${error.message}`);
    return stop.code ?? 1;
  }
}

function install(stop) {
  if (isInstalled()) return 0;
  return runCommand('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { stop });
}

function build(stop) {
  return runCommand('npm', ['run', '--silent', 'build'], { stop });
}

function check(stop) {
  return runCommand('npm', ['run', '--silent', 'check'], { stop });
}

async function withGround(use) {
  const ground = await phase('ground', () => ensureEngine({ tools: true }));
  try {
    return await use(ground);
  } finally {
    await phase('clean up', () => cleanUp(ground));
  }
}

/** A foreign engine stays, so what the tests made of the example application must go from it. */
async function cleanUp(ground) {
  try {
    if (ground.address !== undefined && !ground.own)
      await runInside(ground, [process.execPath, join('examples', 'app', 'image.mjs'), 'remove']);
  } finally {
    await ground.close();
  }
}

async function testGroups(ground, files, stop) {
  const totals = new Map();
  let worst = 0;
  for (const group of GROUPS) {
    const chosen = files.filter(group.holds);
    if (chosen.length === 0) continue;
    const code = await phase(`${group.title} tests`, () => testGroup(ground, group, chosen, totals, stop));
    worst = worst || code;
    if (stop.code !== undefined) return stop.code;
  }
  console.log(`\nAll groups: ${[...totals].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  return worst;
}

function testGroup(ground, { concurrency, timeoutMs }, files, totals, stop) {
  const options = ['--test', `--test-concurrency=${concurrency}`, `--test-timeout=${timeoutMs}`];
  const reporter = ['--test-reporter=spec', '--test-reporter-destination=stdout'];
  const onOutput = (chunk) => {
    process.stdout.write(chunk);
    addSummary(totals, chunk.toString());
  };
  const env = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
  return runInside(ground, [process.execPath, ...options, ...reporter, ...files], { stop, env, onOutput });
}

/** Adds node's closing lines (`ℹ pass 12`) up over the groups. */
function addSummary(totals, text) {
  for (const [, name, count] of text.matchAll(/ℹ (tests|pass|fail|cancelled|skipped|todo) (\d+)/g))
    totals.set(name, (totals.get(name) ?? 0) + Number(count));
}

/** Taken from the sources, so that what an earlier build left in dist is not run. */
function testFiles(patterns) {
  const files = readdirSync('test', { recursive: true })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => join('test', file))
    .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)));
  if (files.length === 0) throw new Error(`no test file matches ${patterns.join(' ')}`);
  return files.sort().map((file) => join('dist', file.replace(/\.ts$/, '.js')));
}

function isEndToEnd(file) {
  return file.startsWith(join('dist', 'test', 'e2e'));
}

function isInstalled() {
  const installed = join('node_modules', '.package-lock.json');
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync('package-lock.json').mtimeMs;
}

function refuseOldNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]))
    throw new Error(`gantryd needs Node ${OLDEST_NODE.join('.')} or newer; this is ${process.version}`);
}

async function phase(title, run) {
  console.log(`\n== ${title}`);
  const began = performance.now();
  const result = await run();
  console.log(`== ${title}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return result;
}
