/** The example `web` must do what its README says: update under load without a loss, heal, stop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import { EASED, startLoad } from '../ground/load.ts';
import { endedWell, getJson, openExample } from './example.ts';

const WAIT_MS = 30_000;

test('web: two instances are updated under load, and nothing is lost', {
  skip: skipWithoutEngine,
}, async (t) => {
  const { place, web } = await openWeb(t);
  await web.gantry('start', 'web');
  assert.deepEqual(await web.statuses('web'), ['running', 'running']);
  const load = await startLoad(t, { http: place, slowMs: 300, easing: EASED });

  const update = web.start('update', 'web', ['tag=v2']);
  await until(async () => (await version(place)) === 'v2', { timeoutMs: WAIT_MS, what: 'v2 to answer' });
  await update.says('Waiting: ', WAIT_MS);
  const statuses = await web.statuses('web');
  assert.deepEqual(statuses.slice(-2), ['running', 'running']);
  assert.ok(statuses.includes('draining'), 'the long connections hold an old container');
  await load.closeStreams();
  await endedWell(update);

  const report = await load.stop();
  assert.deepEqual(report.errors, []);
  assert.equal(report.failed + report.cut, 0);
  const later = await Promise.all(Array.from({ length: 10 }, () => version(place)));
  assert.deepEqual(new Set(later), new Set(['v2']));
  assert.match(await web.gantry('stop', 'web'), /Component web is stopped/);
  assert.match(await web.gantry('list', 'web'), /Component web is not running/);
  assert.deepEqual(await web.box.containers(), []);
});

test('web: with -m a container that fails its health check is replaced', {
  skip: skipWithoutEngine,
}, async (t) => {
  const { place, web } = await openWeb(t);
  const monitored = web.start('start', 'web', [], ['-m']);
  await monitored.says('Starting monitoring', WAIT_MS);
  const before = await names(place, 2);
  await getJson(place, '/break');
  await until(async () => (await names(place, 2)).some((name) => !before.includes(name)), {
    timeoutMs: WAIT_MS,
    what: 'a replacement to answer',
  });
  await until(async () => (await web.statuses('web')).join() === 'running,running', {
    timeoutMs: WAIT_MS,
    what: 'the broken container to go',
  });
  monitored.signal('SIGINT');
  await endedWell(monitored);
  await web.gantry('stop', 'web');
});

async function openWeb(t: Parameters<typeof openExample>[0]) {
  const place = { host: '127.0.0.1', port: await freePort() };
  const ports = JSON.stringify([{ external: place.port, container: 8080, kind: 'http' }]);
  return { place, web: await openExample(t, 'web/web.json', { web: [`ports=${ports}`] }) };
}

async function version(place: { host: string; port: number }): Promise<unknown> {
  return (await getJson(place, '/')).version;
}

/** The host names of the containers that answer, once `count` different ones did. */
async function names(place: { host: string; port: number }, count: number): Promise<unknown[]> {
  const seen = new Set<unknown>();
  await until(async () => seen.add((await getJson(place, '/')).hostname).size >= count, {
    timeoutMs: WAIT_MS,
    what: `${count} containers to answer`,
  });
  return [...seen];
}
