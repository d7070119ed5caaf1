/**
 * `npm test`, whole: install, build, check, ground, tests, clean up. Plain JavaScript and Node alone, since it
 * starts on a bare checkout. `npm test -- PATTERN…` runs only the test files whose path contains a PATTERN.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installPackages, refuseOldNode } from './ground/checkout.mjs';
import { GROUND_VARIABLE } from './ground/leftovers.mjs';
import { closing, readResults } from './ground/results.mjs';
import { ensureEngine, runCommand, runInside, stopRequest } from './ground/setup.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** One after the other; the groups of a stage side by side. */
const STAGES = [
  [{ title: 'unit and integration', concurrency: 3, timeoutMs: 120_000, holds: (file) => !isEndToEnd(file) }],
  [
    {
      title: 'end to end',
      concurrency: 1,
      timeoutMs: 300_000,
      holds: (file) => isEndToEnd(file) && !isOfFleet(file),
    },
    // Each makes hosts of its own, and mostly waits: for leases to end, or for an etcd that is away.
    { title: 'fleet end to end', concurrency: 2, timeoutMs: 300_000, holds: isOfFleet },
  ],
];

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
  return installPackages(stop);
}

/** As `npm run build`, but committed files made from the schema are only compared: stale ones fail the run. */
async function build(stop) {
  const generate = [join('dist', 'src', 'config', 'generate.js'), '--check'];
  const steps = [
    [join('node_modules', '.bin', 'tsc')],
    [process.execPath, ...generate],
    [process.execPath, join('build', 'packages.mjs')],
  ];
  for (const [file, ...args] of steps) {
    const code = await runCommand(file, args, { stop });
    if (code !== 0) return code;
  }
  return 0;
}

/** As `npm run check`, whose types the build has checked. */
function check(stop) {
  return runCommand(join('node_modules', '.bin', 'biome'), ['check'], { stop });
}

async function withGround(use) {
  const ground = await phase('ground', () => ensureEngine({ tests: true }));
  try {
    return await use(ground);
  } finally {
    await phase('clean up', () => ground.close());
  }
}

async function testGroups(ground, files, stop) {
  const results = [];
  let worst = 0;
  for (const stage of STAGES) {
    const groups = stage.filter((group) => files.some(group.holds));
    if (groups.length === 0 || stop.code !== undefined) continue;
    const codes = await phase(`${groups.map(({ title }) => title).join(', ')} tests`, () => {
      return Promise.all(groups.map((group, i) => testGroup(ground, group, files, i === 0, results, stop)));
    });
    worst = worst || (codes.find((code) => code !== 0) ?? 0);
  }
  console.log(`\n${closing(readResults(results))}`);
  return worst;
}

/** The first of a stage is told as it goes, the others when they are done. */
async function testGroup(ground, group, files, first, results, stop) {
  const folder = ground.env[GROUND_VARIABLE];
  const result = join(folder, `results-${results.length}`);
  const told = join(folder, `told-${results.length}`);
  results.push(result);
  const chosen = files.filter(group.holds);
  const code = await runTests(ground, group, chosen, { told: first ? 'stdout' : told, result, stop });
  if (!first && existsSync(told)) console.log(`\n== ${group.title}\n${readFileSync(told, 'utf8')}`);
  return code;
}

/** For people into `told`; for the closing lines into `result`. */
function runTests(ground, { concurrency, timeoutMs }, files, { told, result, stop }) {
  const options = ['--test', `--test-concurrency=${concurrency}`, `--test-timeout=${timeoutMs}`];
  const reporters = [
    ...['--test-reporter=spec', `--test-reporter-destination=${told}`],
    ...['--test-reporter=./test/ground/results.mjs', `--test-reporter-destination=${result}`],
  ];
  return runInside(ground, [process.execPath, ...options, ...reporters, ...files], { stop });
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

function isOfFleet(file) {
  return isEndToEnd(file) && /[\\/](fleet-|example-fleet)/.test(file);
}

function isEndToEnd(file) {
  return file.startsWith(join('dist', 'test', 'e2e'));
}

async function phase(title, run) {
  console.log(`\n== ${title}`);
  const began = performance.now();
  const result = await run();
  console.log(`== ${title}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return result;
}
