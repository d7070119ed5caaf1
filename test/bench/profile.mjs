/**
 * Part `profile`: where the proxy's CPU time goes under each kind of load, by V8's sampling profiler. Slower than
 * without it; shares are what counts. `node profile.mjs OUT.json ROUNDS SECONDS`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProxyClient } from '../../dist/src/proxy/control/client.js';
import { selfTimes } from '../../dist/test/bench/self-times.js';
import { startBackend, TABLE, URLS, until } from './fronts.mjs';
import { prepareNetwork } from './network.mjs';
import { number, table } from './report.mjs';
import { wrk } from './wrk.mjs';

const MAIN = fileURLToPath(new URL('../../dist/src/proxy/main.js', import.meta.url));
const START_MS = 10_000;

const LOADS = [
  { name: 'http, keep-alive', url: `${URLS.gantrydHttp}/`, connections: 64 },
  { name: 'http, new connections', url: `${URLS.gantrydHttp}/`, connections: 64, close: true },
  { name: 'http, 1 MiB bodies', url: `${URLS.gantrydHttp}/big`, connections: 16 },
  { name: 'tcp, keep-alive', url: `${URLS.gantrydTcp}/`, connections: 64 },
  { name: 'tcp, new connections', url: `${URLS.gantrydTcp}/`, connections: 64, close: true },
];

const [out, , seconds] = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), 'gb-'));
const opened = [{ close: () => rm(folder, { recursive: true, force: true, maxRetries: 5 }) }];
let ending;
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => void finish().then(() => process.exit(1)));
try {
  prepareNetwork();
  opened.push(await startBackend(folder, []));
  const profiles = [];
  for (const load of LOADS) profiles.push({ load: load.name, ...(await profiled(load, Number(seconds))) });
  await writeFile(out, JSON.stringify({ profiles, markdown: markdown(profiles) }));
} finally {
  await finish();
}

/** Once, whoever asks first; nobody leaves before it is done. */
function finish() {
  ending ??= closeAll();
  return ending;
}

async function closeAll() {
  for (const running of opened.reverse()) await running.close();
}

async function profiled({ name, ...load }, seconds) {
  process.stderr.write(`bench: profile, ${name}\n`);
  const place = join(folder, name.replace(/\W+/g, '-'));
  await mkdir(place);
  const args = ['--cpu-prof', '--cpu-prof-dir', place, MAIN, '--state-dir', place];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.resume();
  const ended = once(child, 'exit');
  opened.push({ close: () => child.kill('SIGKILL') });
  try {
    const client = new ProxyClient({ stateDir: place });
    await until(
      () => client.put('bench', { ifRevision: 0, table: TABLE }).then(Boolean, () => false),
      START_MS,
    );
    const { perSecond } = await wrk({ ...load, seconds });
    await client.stop(true);
    await ended;
    return { perSecond, ...selfTimes(await readProfile(place)) };
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

async function readProfile(place) {
  const file = (await readdir(place)).find((name) => name.endsWith('.cpuprofile'));
  return JSON.parse(await readFile(join(place, file), 'utf8'));
}

function markdown(profiles) {
  const rows = (field) =>
    profiles.flatMap((profile) =>
      profile[field].map(({ name, share }, at) => [
        at === 0 ? profile.load : '',
        `\`${name}\``,
        number(share * 100, 1),
      ]),
    );
  return [
    '## Profile\n',
    table(['load', 'origin', 'self time %'], rows('origins')),
    '',
    table(['load', 'function', 'self time %'], rows('top')),
    '',
  ].join('\n');
}
