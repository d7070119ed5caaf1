/** The example `links` must do what its README says: an exporter is updated behind its importer's back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Cleanup, freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import type { Place } from '../ground/requests.ts';
import { endedWell, getJson, openExample } from './example.ts';

const WAIT_MS = 30_000;
const PACE_MS = 30;

test('links: the store is updated and the api keeps asking it', { skip: skipWithoutEngine }, async (t) => {
  const place = { host: '127.0.0.1', port: await freePort() };
  const ports = JSON.stringify([{ external: place.port, container: 8080, kind: 'http' }]);
  const links = await openExample(t, 'links/links.json', { api: [`ports=${ports}`] });
  const early = await links.attempt('start', 'api');
  assert.equal(early.code, 1);
  assert.match(early.stderr, /store/);

  await links.gantry('start', 'store');
  await links.gantry('start', 'api');
  const variables = (await getJson(place, '/links')) as Record<string, string>;
  const address = variables.STORE_CLINK ?? '';
  const url = new URL(address);
  assert.deepEqual(variables, {
    STORE_CLINK: `http://${url.host}`,
    STORE_CLINK_8080_HTTP: `http://${url.host}`,
    STORE_CLINK_8080_HTTP_PROTO: 'http',
    STORE_CLINK_8080_HTTP_ADDR: url.hostname,
    STORE_CLINK_8080_HTTP_PORT: url.port,
  });

  const asking = askStore(t, place);
  const update = links.start('update', 'store', ['tag=v2']);
  await until(() => asking.versions.has('v2'), { timeoutMs: WAIT_MS, what: 'the store to answer with v2' });
  await endedWell(update);
  await asking.stop();
  assert.deepEqual(asking.failures, []);
  assert.deepEqual([...asking.versions], ['v1', 'v2']);
  assert.deepEqual(await getJson(place, '/links'), variables);
  assert.equal((await getJson(place, '/')).version, 'v1');
  await links.gantry('stop', 'api');
  await links.gantry('stop', 'store');
});

/** Has the api ask the store again and again. */
function askStore(t: Cleanup, place: Place) {
  const versions = new Set<string>();
  const failures: string[] = [];
  let stopping = false;
  const going = (async () => {
    while (!stopping) {
      try {
        const { answer } = await getJson(place, '/ask?link=STORE');
        versions.add((answer as { version: string }).version);
      } catch (error) {
        failures.push(String(error));
      }
      await delay(PACE_MS);
    }
  })();
  const stop = () => {
    stopping = true;
    return going;
  };
  t.after(stop);
  return { versions, failures, stop };
}
