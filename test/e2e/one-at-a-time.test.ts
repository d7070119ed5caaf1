/** With `update.order: stop-first` two containers never run side by side, and clients wait instead of failing. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { skipWithoutEngine, until } from '../ground/harness.ts';
import { keepAliveClient, newConnectionClient, postClient, slowClient } from '../ground/requests.ts';
import { exitedWith, getText, openShop, type Shop, variable, version, WAIT_MS } from './shop.ts';

const skip = skipWithoutEngine;
/** As often as it can be looked, the machine is busy with nothing else; a container takes longer to start. */
const LOOK_EVERY_MS = 20;
const ALONE = { update: { order: 'stop-first' }, holdTimeout: 60_000, stopTimeout: 2_000 };

test('an update ends the old one first, and requests and connections wait for the new one', {
  skip,
}, async (t) => {
  const shop = await openShop(t, { web: ALONE });
  await shop.must('start', ...version('v1'));
  const clients = [
    keepAliveClient(shop.http, 10),
    newConnectionClient(shop.http, 20),
    postClient(shop.http, 20),
    slowClient(shop.http, 10, 500),
  ];
  t.after(() => Promise.all(clients.map((client) => client.stop())).then(() => undefined));
  const most = mostAtOnce(t, shop);
  await shop.must('update', ...version('v2'));
  assert.equal(await getText(shop.http, '/version'), 'v2');
  assert.match(await firstLine(shop), /v2/);
  await Promise.all(clients.map((client) => client.stop()));
  assert.deepEqual(
    clients.flatMap((client) => client.tally.errors),
    [],
  );
  assert.equal(await most(), 1);
});

test('a new one that fails is followed by the old one, and who waits is answered', { skip }, async (t) => {
  const shop = await openShop(t, { web: ALONE });
  await shop.must('start', ...version('v1'));
  const most = mostAtOnce(t, shop);
  const update = shop.begin('update', ...version('v2'), ...variable('EXIT_AT_START', 3));
  await until(() => update.events('drain-started').length > 0, {
    timeoutMs: WAIT_MS,
    what: 'the end to begin',
  });
  const [answer, line] = await Promise.all([getText(shop.http, '/version'), firstLine(shop)]);
  exitedWith(1, await update.ended);
  assert.equal(await getText(shop.http, '/version'), 'v1');
  assert.equal(answer, 'v1');
  assert.match(line, /v1/);
  assert.equal(await most(), 1);
});

/** How many of it ran at once, at most, since the call. */
function mostAtOnce(t: TestContext, shop: Shop): () => Promise<number> {
  let most = 0;
  let over = false;
  const watched = (async () => {
    for (; !over; await delay(LOOK_EVERY_MS)) {
      const running = (await shop.containers()).filter((c) => c.state === 'running');
      most = Math.max(most, running.length);
    }
  })();
  const end = async () => {
    over = true;
    await watched;
    return most;
  };
  t.after(async () => void (await end()));
  return end;
}

/** Of a raw connection: the application says its version. */
function firstLine({ tcp }: Shop): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(tcp);
    socket.setTimeout(WAIT_MS, () => socket.destroy(new Error('no line came')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without a line')));
    socket.once('data', (chunk) => {
      resolve(chunk.toString());
      socket.destroy();
    });
  });
}
