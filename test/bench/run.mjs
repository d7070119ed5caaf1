/**
 * `npm run bench [-- proxy|update|cli|profile|fleet|continuity|jobs|api|agent|dataplane …] [--rounds N] [--seconds S] [--json FILE]
 * [--write]`: measures side by side and prints tables; --write puts them into docs/performance.md as well, for parts
 * that have places there. Builds, brings missing tools with apt, runs each part in a process of its own, takes all
 * of it down. Never part of the tests: numbers are for reading, on a machine that does nothing else.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installPackages } from '../ground/checkout.mjs';
import { ENGINE_PACKAGES, hasCommand, installMissing, TOOL_PACKAGES } from '../ground/packages.mjs';
import { ensureEngine, QUICK_START, runCommand, runInside, stopRequest } from '../ground/setup.mjs';
import { agentSections, reportAgent } from './agent/report.mjs';
import { reportApi } from './api/report.mjs';
import { reportContinuity } from './continuity/report.mjs';
import { dataplaneSections, reportDataplane } from './dataplane/report.mjs';
import { reportFleet } from './fleet/report.mjs';
import { reportJobs } from './jobs/report.mjs';
import { describeMachine } from './machine.mjs';
import { isolated } from './network.mjs';
import { cliText, reportCli, reportMachine, reportProxy, reportUpdate, updateText } from './report.mjs';
import { writeSections } from './write.mjs';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const HERE = join('test', 'bench');
const TOOLS = [
  { name: 'wrk', present: () => hasCommand('wrk') },
  { name: 'haproxy', present: () => hasCommand('haproxy') },
  { name: 'nginx-light', present: () => hasCommand('nginx') },
  { name: 'iproute2', present: () => hasCommand('ip') },
];
const DATAPLANE_TOOLS = [
  ...TOOLS,
  { name: 'caddy', present: () => hasCommand('caddy') },
  { name: 'nftables', present: () => hasCommand('nft') },
  { name: 'conntrack', present: () => hasCommand('conntrack') },
];

const FLEET_TOOLS = [...ENGINE_PACKAGES, ...TOOL_PACKAGES];
const CONTINUITY = ['deploys', 'connections', 'healing', 'rollback', 'memory'];
const JOBS = ['oneshot', 'pipeline', 'burst', 'ticks'];
const API = ['get', 'followers', 'scale'];
const AGENT = ['plans', 'idle'];
const DATAPLANE = ['http', 'tcp', 'kernel', 'workers', 'crowd', 'switches', 'deaths', 'routes'];
const WRITTEN = join('docs', 'performance.md');

/**
 * `engine`: needs Docker. `tools`: packages. `rounds`: unless --rounds says otherwise. `sections`: what can be asked
 * for alone, told by the environment variable. `written`: texts for --write, by section.
 */
const PARTS = {
  proxy: { rounds: 5, tools: TOOLS, report: reportProxy },
  update: { rounds: 10, engine: true, report: reportUpdate, written: (it) => ({ steps: updateText(it) }) },
  cli: { rounds: 20, engine: true, report: reportCli, written: (it) => ({ times: cliText(it) }) },
  fleet: { rounds: 3, tools: FLEET_TOOLS, report: reportFleet, onlyIfNamed: true },
  continuity: {
    rounds: 5,
    tools: [...FLEET_TOOLS, ...TOOLS.filter(({ name }) => name === 'wrk')],
    report: reportContinuity,
    onlyIfNamed: true,
    sections: { variable: 'GANTRYD_BENCH_CONTINUITY', names: CONTINUITY },
  },
  jobs: {
    rounds: 5,
    tools: FLEET_TOOLS,
    report: reportJobs,
    onlyIfNamed: true,
    sections: { variable: 'GANTRYD_BENCH_JOBS', names: JOBS },
  },
  api: {
    rounds: 5,
    tools: FLEET_TOOLS,
    report: reportApi,
    onlyIfNamed: true,
    sections: { variable: 'GANTRYD_BENCH_API', names: API },
  },
  agent: {
    rounds: 1,
    tools: [...FLEET_TOOLS, ...TOOLS.filter(({ name }) => name === 'haproxy')],
    report: reportAgent,
    written: agentSections,
    onlyIfNamed: true,
    sections: { variable: 'GANTRYD_BENCH_AGENT', names: AGENT },
  },
  dataplane: {
    rounds: 3,
    tools: DATAPLANE_TOOLS,
    report: reportDataplane,
    written: dataplaneSections,
    onlyIfNamed: true,
    sections: { variable: 'GANTRYD_BENCH_DATAPLANE', names: DATAPLANE },
  },
  profile: { rounds: 1, tools: TOOLS, report: ({ markdown }) => markdown, onlyIfNamed: true },
};

process.chdir(ROOT);
process.exitCode = await main();

async function main() {
  const stop = stopRequest();
  const folder = mkdtempSync(join(tmpdir(), 'gantryd-bench-'));
  try {
    const options = readArguments();
    await prepare(options.parts, stop);
    const machine = describeMachine();
    const results = await withGround(options.parts, (ground) => runParts(ground, folder, options, stop));
    tell(options, { machine, ...results });
    return 0;
  } catch (error) {
    console.error(`bench: ${error.message}`);
    return stop.code ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string', default: '4' },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  });
  const parts = [...new Set(positionals.map(partOf))];
  const usual = Object.keys(PARTS).filter((name) => PARTS[name].onlyIfNamed !== true);
  const rounds = values.rounds === undefined ? undefined : count(values.rounds, '--rounds');
  askForSections(positionals);
  const wanted = parts.length > 0 ? parts : usual;
  const { json, write } = values;
  return { parts: wanted, rounds, seconds: count(values.seconds, '--seconds'), json, write };
}

/** A section's name stands for its part, and means that section alone. */
function partOf(name) {
  if (name in PARTS) return name;
  const part = Object.keys(PARTS).find((key) => PARTS[key].sections?.names.includes(name));
  if (part !== undefined) return part;
  const known = [...Object.keys(PARTS), ...CONTINUITY, ...JOBS, ...API, ...AGENT, ...DATAPLANE];
  throw new Error(`no part ${name}; there are ${known.join(', ')}`);
}

function askForSections(positionals) {
  for (const { sections } of Object.values(PARTS)) {
    const named = positionals.filter((name) => sections?.names.includes(name));
    if (named.length > 0) process.env[sections.variable] = named.join(' ');
  }
}

function count(text, name) {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new Error(`${name} must be a whole number, 1 or more, not ${text}`);
}

async function prepare(parts, stop) {
  if ((await installPackages(stop)) !== 0) throw new Error('npm ci failed');
  await must(['npm', 'run', '--silent', 'build'], stop);
  for (const part of parts) installMissing(PARTS[part].tools ?? [], say);
}

async function withGround(parts, use) {
  if (!parts.some((part) => PARTS[part].engine === true)) return use(undefined);
  const ground = await ensureEngine({ say });
  try {
    if (ground.address === undefined) throw new Error('the parts update and cli need a Docker engine');
    return await use(ground);
  } finally {
    await ground.close();
  }
}

async function runParts(ground, folder, { parts, rounds, seconds }, stop) {
  const results = {};
  for (const part of parts) {
    say(part);
    const out = join(folder, `${part}.json`);
    const own = `${rounds ?? PARTS[part].rounds}`;
    const command = [process.execPath, join(HERE, `${part}.mjs`), out, own, `${seconds}`];
    const code = PARTS[part].engine
      ? await runInside(ground, command, { stop })
      : await runIsolated(command, stop);
    if (code !== 0) throw new Error(`part ${part} ended with ${code}`);
    results[part] = JSON.parse(readFileSync(out, 'utf8'));
  }
  return results;
}

function runIsolated(command, stop) {
  const [file, ...args] = isolated(command);
  return runCommand(file, args, { stop, env: { ...process.env, ...QUICK_START } });
}

async function must([file, ...args], stop) {
  const code = await runCommand(file, args, { stop });
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}`);
}

function tell({ json, write }, results) {
  const parts = Object.keys(PARTS).filter((part) => part in results);
  console.log(reportMachine(results.machine));
  for (const part of parts) console.log(PARTS[part].report(results[part]));
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, null, 1)}\n`);
  if (write)
    for (const part of parts) writeSections(WRITTEN, part, PARTS[part].written?.(results[part]) ?? {});
}

function say(line) {
  console.error(`bench: ${line}`);
}
