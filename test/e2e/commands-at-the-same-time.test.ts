/** Commands at the same time must not undo each other: the later one on a component wins, others do not meet. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { withLock } from '../../src/lock.ts';
import { freePort, skipWithoutEngine, until } from '../ground/harness.ts';
import { EASED, startLoad } from '../ground/load.ts';
import {
  type Command,
  exitedWith,
  getText,
  lostNothing,
  openShop,
  tells,
  variable,
  version,
  WAIT_MS,
} from './shop.ts';

const skip = skipWithoutEngine;

test('of two updates of a component the later release wins', { skip }, async (t) => {
  const shop = await openShop(t, { web: { instances: 2 } });
  await shop.must('start', ...version('v1'));
  const load = await startLoad(t, { http: shop.http, tcp: shop.tcp, slowMs: 300, easing: EASED });
  const slow = shop.begin('update', ...version('v2'), ...variable('READY_AFTER_MS', 600_000));
  await tells(slow, 'container-started');
  const quick = shop.begin('update', '--detach', ...version('v3'));
  exitedWith(0, await quick.ended);
  exitedWith(1, await slow.ended);
  assert.deepEqual(codes(slow), ['superseded']);
  assert.equal(await getText(shop.http, '/version'), 'v3');
  await load.closeStreams();
  exitedWith(0, await shop.begin('update', ...version('v4')).ended);
  const rows = await shop.list();
  await shop.untilContainers(rows.map(({ id }) => id));
  assert.deepEqual(
    rows.map(({ status }) => status),
    ['running', 'running'],
  );
  await lostNothing(load);
});

test('of updates that begin together one wins, and all agree which', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('v1'));
  const load = await startLoad(t, { http: shop.http, slowMs: 300, easing: EASED });
  await load.closeStreams();
  const updates = ['a', 'b', 'c'].map((name) => shop.begin('update', ...version(name)));
  const results = await Promise.all(updates.map((update) => update.ended));
  const serves = await getText(shop.http, '/version');
  const releases = updates.map((update) => Number(update.events('release-made')[0]?.release));
  const newest = releases.indexOf(Math.max(...releases));
  assert.equal(serves, ['a', 'b', 'c'][newest]);
  assert.equal(results[newest]?.code, 0);
  for (const [n, { code }] of results.entries()) {
    // An earlier one may have been through before the later came.
    if (code !== 0) assert.deepEqual([code, codes(updates[n] as Command)], [1, ['superseded']]);
  }
  const rows = await shop.list();
  assert.deepEqual(
    rows.map(({ status }) => status),
    ['running'],
  );
  await shop.untilContainers(rows.map(({ id }) => id));
  await lostNothing(load);
});

test('a command that waits for another one says for whom, and goes on after it', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start');
  const { stateDir, project } = shop.box;
  const lock = join(stateDir, 'components', project, 'web.lock');
  const stop = await withLock(lock, { timeoutMs: WAIT_MS }, async () => {
    const waiting = shop.begin('stop');
    const toldLock = () => waiting.events('waiting').find((event) => event.for === 'lock');
    const told = await until(toldLock, { timeoutMs: WAIT_MS, what: 'the lock to be told' });
    assert.match(String(told.why), new RegExp(`^process ${process.pid} .* works on web$`));
    return waiting;
  });
  exitedWith(0, await stop.ended);
  await shop.untilContainers([]);
});

test('a stop during an update ends it as superseded, and nothing stays', { skip }, async (t) => {
  const shop = await openShop(t);
  await shop.must('start', ...version('v1'));
  const update = shop.begin('update', ...version('v2'), ...variable('READY_AFTER_MS', 600_000));
  await tells(update, 'container-started');
  await shop.must('stop');
  exitedWith(1, await update.ended);
  assert.deepEqual(codes(update), ['superseded']);
  await shop.untilContainers([]);
});

test('updates of two components of one project do not disturb each other', { skip }, async (t) => {
  const api = { host: '127.0.0.1', port: await freePort() };
  const ports = [{ external: api.port, container: 8080, kind: 'http' }];
  const readyChecks = [{ kind: 'http', path: '/health', port: 8080 }];
  const shop = await openShop(t, { others: [{ name: 'api', ports, readyChecks }] });
  await Promise.all([shop.must('start', ...version('v1')), shop.must('start api', ...version('v1'))]);
  const loads = [
    await startLoad(t, { http: shop.http, slowMs: 300, easing: EASED }),
    await startLoad(t, { http: api, slowMs: 300, easing: EASED }),
  ];
  for (const name of ['v2', 'v3']) {
    const both = ['update', 'update api'].map((action) => shop.must(action, '--detach', ...version(name)));
    await Promise.all(both);
    assert.deepEqual([await getText(shop.http, '/version'), await getText(api, '/version')], [name, name]);
  }
  for (const load of loads) await lostNothing(load);
  await Promise.all([shop.must('stop'), shop.must('kill api')]);
  assert.deepEqual(await shop.box.containers(), []);
});

function codes(command: Command): readonly unknown[] {
  return command.events('error').map(({ code }) => code);
}
