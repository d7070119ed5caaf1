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
import { anotherGround, ensureEngine, runCommand, runInside, stopRequest } from './ground/setup.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** One after the other. */
const STAGES = [
  { title: 'unit and integration', holds: (file) => !isEndToEnd(file), run: runSideBySide },
  { title: 'end to end', holds: isEndToEnd, run: runInLanes },
];
const UNIT = { concurrency: 3, timeoutMs: 120_000 };
const ONE_BY_ONE = { concurrency: 1, timeoutMs: 300_000 };
/** Beside all stages, in what they leave of the processors: nobody waits for these, and they wait for nothing. */
const COMPUTING = { concurrency: 2, timeoutMs: 1_800_000, idle: true };
/** Fleets make hosts of their own, and mostly wait. The others use the engine of a ground, one after the other. */
const FLEET_LANES = 2;
/** Begun first, so that no lane is left with one of them at the end. */
const LONG = [
  'fleet-etcd-faults',
  'fleet-images',
  'fleet-jobs',
  'fleet-partition',
  'fleet-agent-killed-at-every-stage',
  'fleet-stop-kill',
  'fleet-bad-release',
  'fleet-faults-campaign',
  'fleet-scale',
  'fleet-joins-late',
  'fleet-output',
  'fleet-run',
  'fleet-links',
  'fleet-host-gone',
  'fleet-etcd-state-lost',
  'example-fleet',
  'updates-lose-nothing',
  'interrupted-update',
  'bad-days',
  'job-run',
  'monitor-heals',
  'drain-waits',
  'proxy-crash',
  'a-release-may-change',
  'bad-updates',
  'commands-at-the-same-time',
];

process.chdir(ROOT);
process.exitCode = await main(process.argv.slice(2));

async function main(patterns) {
  const stop = stopRequest();
  try {
    refuseOldNode();
    const files = testFiles(patterns);
    return await withGround(stop, (ground) => testStages(ground, files, stop));
  } catch (error) {
    console.error(`\n${error.message}`);
    return stop.code ?? 1;
  }
}

async function prepare(stop) {
  for (const step of [install, build, check]) {
    const code = await phase(step.name, () => step(stop));
    if (code !== 0) return code;
  }
  return 0;
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
    [process.execPath, join('build', 'program.mjs')],
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

/** Made meanwhile: it takes nothing of what is built, and where it is new mostly waits for the network. */
async function withGround(stop, use) {
  const preparing = prepare(stop);
  const making = phase('ground', () => ensureEngine({ tests: true }));
  const [prepared, made] = await Promise.allSettled([preparing, making]);
  if (made.status === 'rejected') throw made.reason;
  try {
    if (prepared.status === 'rejected') throw prepared.reason;
    return prepared.value || (await use(made.value));
  } finally {
    await phase('clean up', () => made.value.close());
  }
}

async function testStages(ground, files, stop) {
  const results = [];
  const computing = files.filter(computesAlone);
  const others = files.filter((file) => !computesAlone(file));
  const codes = await Promise.all([
    inStages(ground, others, results, stop),
    computing.length > 0 && runQuietly(ground, COMPUTING, computing, nextPlaces(ground, results), stop),
  ]);
  console.log(`\n${closing(readResults(results))}`);
  return codes.find((code) => code > 0) ?? 0;
}

async function inStages(ground, files, results, stop) {
  let worst = 0;
  for (const { title, holds, run } of STAGES) {
    const chosen = files.filter(holds);
    if (chosen.length === 0 || stop.code !== undefined) continue;
    const code = await phase(`${title} tests`, () => run(ground, chosen, results, stop));
    worst = worst || code;
  }
  return worst;
}

/** In one process for each file, as many as there may be. */
function runSideBySide(ground, files, results, stop) {
  const { result } = nextPlaces(ground, results);
  return runTests(ground, UNIT, files, { told: 'stdout', result, stop });
}

/** Each file is told when it is done. Whatever lane has nothing left to do helps with what there is. */
async function runInLanes(ground, files, results, stop) {
  const fleets = longestFirst(files.filter(isOfFleet));
  const others = longestFirst(files.filter((file) => !isOfFleet(file)));
  if (fleets.length > 0) await makeDisk(ground, stop);
  const lane = async (within, ...queues) => {
    let worst = 0;
    for (;;) {
      const file = queues.find((queue) => queue.length > 0)?.shift();
      if (file === undefined || stop.code !== undefined) return worst;
      const code = await runQuietly(within, ONE_BY_ONE, [file], nextPlaces(ground, results), stop);
      worst = worst || code;
    }
  };
  const fleetLane = async () => {
    const code = await lane(ground, fleets);
    if (!ground.own || others.length === 0) return code;
    const helped = await beside((other) => lane(other, others));
    return code || helped;
  };
  const codes = await Promise.all([
    lane(ground, others, fleets),
    ...Array.from({ length: FLEET_LANES }, fleetLane),
  ]);
  return codes.find((code) => code !== 0) ?? 0;
}

/** On an engine that nobody else uses. */
async function beside(use) {
  const ground = await anotherGround();
  try {
    return await use(ground);
  } finally {
    await ground.close();
  }
}

/** What the hosts of fleets begin with. They do without, so that one that fails fails no run. */
function makeDisk(ground, stop) {
  return runInside(ground, [process.execPath, join('test', 'ground', 'hosts-disk-make.mjs')], { stop });
}

/** Told when all are done. */
async function runQuietly(ground, how, files, { result, told }, stop) {
  const code = await runTests(ground, how, files, { told, result, stop });
  const lines = existsSync(told) ? readFileSync(told, 'utf8').split('\n') : [];
  console.log(lines.filter((line) => line !== '' && !line.startsWith('ℹ ')).join('\n'));
  return code;
}

/** In the order of LONG; then all others, as they come. */
function longestFirst(files) {
  const rank = (file) => {
    const at = LONG.findIndex((name) => file.includes(name));
    return at === -1 ? LONG.length : at;
  };
  return files.sort((a, b) => rank(a) - rank(b));
}

/** Where a run of tests writes. */
function nextPlaces(ground, results) {
  const folder = ground.env[GROUND_VARIABLE];
  const result = join(folder, `results-${results.length}`);
  const told = join(folder, `told-${results.length}`);
  results.push(result);
  return { result, told };
}

/** For people into `told`; for the closing lines into `result`. */
function runTests(ground, { concurrency, timeoutMs, idle = false }, files, { told, result, stop }) {
  const options = ['--test', `--test-concurrency=${concurrency}`, `--test-timeout=${timeoutMs}`];
  const reporters = [
    ...['--test-reporter=spec', `--test-reporter-destination=${told}`],
    ...['--test-reporter=./test/ground/results.mjs', `--test-reporter-destination=${result}`],
  ];
  const command = [process.execPath, ...options, ...reporters, ...files];
  return runInside(ground, idle ? ['nice', '-n', '19', ...command] : command, { stop });
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

/** Long, and by the processor alone: no process, no socket, no clock. */
function computesAlone(file) {
  const simulations = join('dist', 'test', 'simulation');
  return file.startsWith(simulations) || /\.property\.test\.js$|[\\/]config[\\/]fuzz\.test\.js$/.test(file);
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
