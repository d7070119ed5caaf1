/** On the host's own network two containers cannot listen on one port: an update must not take the one for the other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort, skipWithoutEngine } from '../ground/harness.ts';
import { newConnectionClient } from '../ground/requests.ts';
import { exitedWith, getText, openShop, variable, version } from './shop.ts';

/** Late enough for its predecessor to answer its first checks. */
const SLOWLY = ['/bin/node', '-e', "setTimeout(() => import('/app/server.mjs'), 1500)"];

test('an update on the host network moves to another port or is refused', {
  skip: skipWithoutEngine,
}, async (t) => {
  const external = await freePort();
  const place = { host: '127.0.0.1', port: external };
  const shop = await openShop(t, { web: { network: 'host', command: SLOWLY } });
  const listening = async (port: number) => [
    ...['--set', `ports=${JSON.stringify([{ external, container: port, kind: 'http' }])}`],
    ...['--set', `readyChecks=${JSON.stringify([{ kind: 'http', path: '/health', port }])}`],
    ...variable('PORT', port),
    ...variable('TCP_PORT', await freePort()),
  ];
  const port = await freePort();
  await shop.must('start', ...(await listening(port)), ...version('v1'));
  const client = newConnectionClient(place, 10);
  t.after(() => client.stop());
  const refused = await shop.gantry('update', ...(await listening(port)), ...version('v2'));
  exitedWith(1, refused);
  assert.match(refused.stderr, new RegExp(`cannot listen on ${port}`));
  assert.equal(await getText(place, '/version'), 'v1');
  assert.equal((await shop.containers()).length, 1);
  await shop.must('update', ...(await listening(await freePort())), ...version('v3'));
  assert.equal(await getText(place, '/version'), 'v3');
  await client.stop();
  assert.deepEqual(client.tally.errors, []);
});
