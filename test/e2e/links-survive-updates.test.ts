/** A component that requires a link must reach the exporter through every update of it, without being told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort, skipWithoutEngine } from '../ground/harness.ts';
import { processesOf } from '../ground/sandbox.ts';
import { exitedWith, getText, openShop, type Shop, version } from './shop.ts';

const skip = skipWithoutEngine;
const UPDATES = 5;
const STORE = {
  name: 'store',
  readyChecks: [{ kind: 'http', path: '/health', port: 8080 }],
  defineComponentLinks: [{ name: 'store-http', port: 8080, kind: 'http' }],
};

test('an importer works on while the exporter is updated', { skip }, async (t) => {
  const shop = await openImporter(t);
  await shop.must('start store', ...version('s0'));
  await shop.must('start', ...version('w1'));
  const importer = (await shop.containers()).map(({ id }) => id);
  const asking = askAlways(shop);
  t.after(() => asking.stop());
  for (let n = 1; n <= UPDATES; n++) {
    await shop.must('update store', ...version(`s${n}`));
    assert.equal(await storeVersion(shop), `s${n}`);
  }
  await asking.stop();
  assert.deepEqual(asking.errors, []);
  assert.ok(asking.answers > UPDATES, `${asking.answers} answers`);
  assert.deepEqual(
    (await shop.containers()).map(({ id }) => id),
    importer,
  );
});

test('the variables of a link are named as in the first gantryd', { skip }, async (t) => {
  const shop = await openImporter(t);
  await shop.must('start store');
  await shop.must('start');
  const { THESTORE_CLINK: url = '', ...others } = JSON.parse(await getText(shop.http, '/links'));
  const { protocol, hostname, port } = new URL(url);
  assert.equal(protocol, 'http:');
  assert.deepEqual(others, {
    THESTORE_CLINK_8080_HTTP: url,
    THESTORE_CLINK_8080_HTTP_PROTO: 'http',
    THESTORE_CLINK_8080_HTTP_ADDR: hostname,
    THESTORE_CLINK_8080_HTTP_PORT: port,
  });
  await shop.must('stop store');
  await shop.must('start store');
  assert.equal(await storeVersion(shop), 'v1', 'the port outlives a stop of the exporter');
});

test('a link whose exporter does not run is refused by name', { skip }, async (t) => {
  const shop = await openImporter(t);
  const refused = await shop.gantry('start');
  exitedWith(1, refused);
  assert.match(refused.stderr, /store-http.*store/s);
  assert.deepEqual(await shop.box.containers(), []);
  assert.deepEqual(processesOf(shop.box.stateDir), [], 'no proxy was started for nothing');
});

async function openImporter(t: Parameters<typeof openShop>[0]): Promise<Shop> {
  const http = await freePort();
  const requireComponentLinks = [{ name: 'store-http', alias: 'theStore' }];
  const ports = [{ external: http, container: 8080, kind: 'http' }];
  const shop = await openShop(t, { web: { requireComponentLinks, ports }, others: [STORE] });
  return { ...shop, http: { host: '127.0.0.1', port: http } };
}

async function storeVersion(shop: Shop): Promise<string> {
  return JSON.parse(await getText(shop.http, '/ask?link=THESTORE')).answer.version;
}

/** Asks through the link, one request after the other. */
function askAlways(shop: Shop) {
  const seen = { answers: 0, errors: [] as string[], stop };
  let going = true;
  const ended = (async () => {
    while (going) {
      await storeVersion(shop).then(
        () => {
          seen.answers += 1;
        },
        (error) => {
          seen.errors.push(String(error));
        },
      );
    }
  })();
  async function stop(): Promise<void> {
    going = false;
    await ended;
  }
  return seen;
}
