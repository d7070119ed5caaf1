/** A process that used etcd ends by itself, whatever became of etcd, and says nothing it was not asked. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Etcd, skipWithoutEtcd, startEtcd } from '../ground/etcd.ts';
import { type Cleanup, freePort } from '../ground/harness.ts';
import { run } from '../ground/processes.ts';
import { soon } from './setting.ts';

const PROGRAM = fileURLToPath(new URL('visitor.js', import.meta.url));
/** From close() to the end; a channel that is just connecting takes up to a second. */
const ENDS_MS = 5000;
/** Where etcd is there, an answer is waited for, however busy the machine is. */
const PATIENT = { callTimeoutMs: 20_000 };
const WELL = { asked: ['fulfilled', 'fulfilled'], current: true, held: true };
const NOTHING = { asked: ['rejected', 'rejected'], current: false, held: false };

describe('A process that has closed its store ends by itself', {
  skip: skipWithoutEtcd,
  concurrency: 3,
}, () => {
  test('after all went well', async (t) => {
    const etcd = await startEtcd(t);
    assert.deepEqual(await visit(t, { endpoints: etcd.endpoints, ...PATIENT, closes: 'well' }), WELL);
  });

  test('after TLS with an address, without a warning of Node', async (t) => {
    const etcd = await startEtcd(t, { tls: 'server' });
    assert.deepEqual(
      await visit(t, { endpoints: etcd.endpoints, ca: etcd.certificates?.ca, ...PATIENT, closes: 'well' }),
      WELL,
    );
  });

  test('with no etcd there', async (t) => {
    const endpoints = [`127.0.0.1:${await freePort()}`, 'nobody.invalid:2379'];
    assert.deepEqual(await visit(t, { endpoints, waitMs: 500 }), NOTHING);
  });

  test('with an address that swallows everything', async (t) => {
    assert.deepEqual(
      await visit(t, { endpoints: ['192.0.2.1:2379'], waitMs: 0, callTimeoutMs: 700 }),
      NOTHING,
    );
  });

  test('while etcd hangs', async (t) => {
    const etcd = await startEtcd(t);
    await etcd.pause();
    assert.deepEqual(await visit(t, { endpoints: etcd.endpoints, waitMs: 0, callTimeoutMs: 700 }), NOTHING);
  });

  test('with a wrong password', async (t) => {
    const etcd = await withUsers(t);
    assert.deepEqual(
      await visit(t, { endpoints: etcd.endpoints, user: 'gantry', password: 'wrong', waitMs: 300 }),
      NOTHING,
    );
  });

  test('when etcd dies meanwhile', async (t) => {
    const etcd = await startEtcd(t);
    const visited = visit(t, { endpoints: etcd.endpoints, ...PATIENT, closes: 'away' });
    await soon('all went well', () => etcd.control('get', '/t/well'));
    await etcd.kill();
    assert.equal((await visited).current, false);
  });
});

async function visit(t: Cleanup, options: Record<string, unknown>) {
  const { code, stdout, stderr } = await run(t, process.execPath, [PROGRAM, JSON.stringify(options)]);
  assert.deepEqual([code, stderr], [0, '']);
  const [seen = '', ended = ''] = stdout.split('\n');
  const ms = Number(/^ended (\d+) ms after close$/.exec(ended)?.[1]);
  assert.ok(ms < ENDS_MS, stdout);
  return JSON.parse(seen) as typeof WELL;
}

function withUsers(t: Cleanup): Promise<Etcd> {
  return startEtcd(t).then(async (etcd) => {
    await etcd.addUser('gantry', 'secret', '/t/');
    return etcd;
  });
}
