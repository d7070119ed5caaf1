/** The quickstart must show an update that loses nothing, see every loss there is, and leave nothing behind. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PACKAGE_ROOT } from '../../src/version.ts';
import { dockerCall } from '../ground/docker.ts';
import { engineAddress, freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import { start } from '../ground/processes.ts';

const FOLDER = join(PACKAGE_ROOT, 'examples', 'quickstart');
const RUN = [join(FOLDER, 'run.mjs')];
const WAIT_MS = 60_000;

interface Tally {
  readonly sent: number;
  readonly failed: number;
  readonly cut: number;
  readonly versions: ReadonlyMap<string, unknown>;
}

interface Traffic {
  seen(): readonly Tally[];
  stop(): Promise<void>;
}

test('the quickstart updates under traffic and loses nothing', { skip: skipWithoutEngine }, async (t) => {
  const shown = await start(t, process.execPath, RUN, { env: environment() }).ended;
  assert.equal(shown.code, 0, `${shown.stdout}\n${shown.stderr}`);
  assert.match(shown.stdout, /Requests failed: 0 of \d/);
  assert.match(shown.stdout, /Connections cut: 0 of \d/);
  assert.match(shown.stdout, /Nothing was lost/);
  assert.match(shown.stdout, / draining +\d+ \(oldest/);
  await assertNothingLeft(shown.stdout);
});

test('Ctrl-C in the middle of the quickstart leaves nothing behind', {
  skip: skipWithoutEngine,
}, async (t) => {
  const running = start(t, process.execPath, RUN, { env: environment() });
  await running.says('gantry shop.json update web', WAIT_MS);
  await running.says(/update web[\s\S]*Starting container/, WAIT_MS);
  running.signal('SIGINT');
  assert.equal((await running.ended).code, 130);
  await assertNothingLeft(running.stdout);
});

test('the clients of the quickstart see every loss', async (t) => {
  const [port, lines] = [await freePort(), await freePort()];
  const env = { VERSION: 'v1', PORT: String(port), TCP_PORT: String(lines) };
  const app = start(t, process.execPath, [join(FOLDER, '..', 'app', 'server.mjs')], { env });
  await app.says('listens on', WAIT_MS);
  const { startTraffic } = await load<{ startTraffic(port: number): Promise<Traffic> }>('traffic.mjs');
  const traffic = await startTraffic(port);
  t.after(() => traffic.stop());
  const everyOne = (is: (tally: Tally) => boolean) => () => traffic.seen().every(is);
  await until(
    everyOne(({ versions }) => versions.has('v1')),
    { timeoutMs: WAIT_MS, what: 'answers' },
  );
  assert.ok(traffic.seen().every(({ failed, cut }) => failed + cut === 0));

  app.signal('SIGKILL');
  await until(
    everyOne(({ failed, cut }) => failed + cut > 0),
    { timeoutMs: WAIT_MS, what: 'losses' },
  );
  await traffic.stop();
  const cuts = traffic.seen().reduce((sum, { cut }) => sum + cut, 0);
  assert.equal(cuts, 6, 'four kept connections, the WebSocket and the event stream');
  const { lossOf } = await load<{ lossOf(seen: readonly Tally[]): readonly string[] }>('table.mjs');
  assert.match(
    lossOf(traffic.seen()).join('\n'),
    /4 x .*a kept connection was closed[\s\S]*v2 never answered/,
  );
});

/** What `npm test` has installed and built is used as it is, and so is its engine. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, DOCKER_HOST: engineAddress(), GANTRYD_QUICKSTART_PREPARED: '1' };
}

async function assertNothingLeft(output: string): Promise<void> {
  const folder = /project file, (\S+)\/shop\.json/.exec(output)?.[1] ?? '';
  const repo = /gantryd-quickstart-\d+/.exec(output)?.[0];
  const containers = [...output.matchAll(/Starting container (\w{12})/g)].map(([, id]) => id);
  assert.ok(folder !== '' && repo !== undefined && containers.length === 2, output);
  assert.equal(existsSync(folder), false, `${folder} is left`);
  for (const path of [
    ...containers.map((id) => `containers/${id}`),
    `images/${repo}:v1`,
    `images/${repo}:v2`,
  ])
    await dockerCall('GET', `/${path}/json`, undefined, [404]);
}

function load<Module>(file: string): Promise<Module> {
  return import(pathToFileURL(join(FOLDER, file)).href);
}
