/** Who may speak with etcd, and how it is said when somebody may not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { StoreOptions } from '../../src/cluster/options.ts';
import type { Store } from '../../src/cluster/store.ts';
import { GantryError } from '../../src/errors.ts';
import { type Etcd, skipWithoutEtcd, startEtcd } from '../ground/etcd.ts';
import { type Cleanup, freePort } from '../ground/harness.ts';
import { ALL, followed, held, opened, PREFIX, soon, timed, valueIn, write } from './setting.ts';

/** A refusal waits for no deadline, however busy the machine is. */
const DEADLINE_MS = 60_000;
const PROMPT_MS = 30_000;
const USER = { user: 'gantry', password: 'secret' };

describe('etcd with users', { skip: skipWithoutEtcd, concurrency: 3 }, () => {
  test('lets in who has the password: calls, session and mirror', async (t) => {
    const store = opened(t, { ...(await withUsers(t)), ...USER });
    const mirror = await followed(store);
    await held(store);
    await write(store, 'a', '1');
    await soon('the mirror has it', () => valueIn(mirror, 'a') === '1');
  });

  test('refuses a wrong password, and none at all', async (t) => {
    const etcd = await withUsers(t);
    await refused(
      patient(t, { ...etcd, ...USER, password: 'wrong' }),
      /authentication failed/,
      /user and password/,
    );
    await refused(
      patient(t, { ...etcd, user: 'nobody', password: 'x' }),
      /authentication failed/,
      /password/,
    );
    await refused(patient(t, etcd), /user name is empty/, /user and password/);
  });

  test('refuses what is outside of the rights', async (t) => {
    const store = patient(t, { ...(await withUsers(t, '/elsewhere/')), ...USER });
    await refused(store, /permission denied/, /role to read and write the keys below the prefix/);
    assert.equal(await store.get('/elsewhere/a'), undefined);
  });

  test('that restarts has forgotten its logins: each is made again', async (t) => {
    const etcd = await withUsers(t);
    const store = opened(t, { ...etcd, ...USER });
    const mirror = await followed(store);
    await write(store, 'a', '1');
    await etcd.restart();
    assert.equal((await store.commit([], [{ kind: 'put', key: '/t/a', value: '2' }])).done, true);
    await soon('the mirror has it', () => mirror.current && valueIn(mirror, 'a') === '2');
  });

  test('that has no users lets in who has a password all the same, also when it gets users later', async (t) => {
    const etcd = await startEtcd(t);
    const store = opened(t, { ...etcd, ...USER });
    const mirror = await followed(store);
    await write(store, 'a', '1');
    await etcd.addUser(USER.user, USER.password, PREFIX);
    await write(store, 'a', '2');
    await soon('the mirror has it', () => mirror.current && valueIn(mirror, 'a') === '2');
  });

  test('rights that are taken away and given back are followed', async (t) => {
    const etcd = await withUsers(t);
    const store = patient(t, { ...etcd, ...USER });
    await write(store, 'a', '1');
    await etcd.control('role', 'revoke-permission', USER.user, '--prefix=true', PREFIX);
    await refused(store, /permission denied/, /role/);
    await etcd.control('role', 'grant-permission', USER.user, '--prefix=true', 'readwrite', PREFIX);
    await write(store, 'a', '2');
    await followed(store);
  });
});

describe('etcd with TLS', { skip: skipWithoutEtcd, concurrency: 3 }, () => {
  test('is spoken to with its CA, and with a client certificate if it asks for one', async (t) => {
    for (const tls of ['server', 'clients'] as const) {
      const etcd = await startEtcd(t, { tls });
      const store = opened(t, { ...etcd, ...pems(etcd) });
      const mirror = await followed(store);
      await held(store);
      await write(store, 'a', '1');
      await soon('the mirror has it', () => valueIn(mirror, 'a') === '1');
    }
  });

  test('refuses an unknown CA, and who has no certificate or a strange one', async (t) => {
    const etcd = await startEtcd(t, { tls: 'clients' });
    const { ca } = pems(etcd);
    const stranger = pair(etcd.certificates?.stranger);
    await refused(patient(t, { ...etcd, ca: stranger.cert }), /unable to verify/, /Check the CA/);
    await refused(patient(t, etcd), /unable to verify/, /Check the CA/);
    await refused(patient(t, { ...etcd, ca }), /bad certificate|certificate required/, /client certificate/);
    await refused(patient(t, { ...etcd, ca, ...stranger }), /bad certificate|unknown/, /client certificate/);
  });

  test('refuses an address its certificate does not name', async (t) => {
    const etcd = await startEtcd(t, { tls: 'server' });
    const endpoints = etcd.endpoints.map((url) => url.replace('127.0.0.1', 'localhost'));
    await refused(patient(t, { endpoints, ...pems(etcd) }), /altnames/, /names this address/);
  });

  test('and without: who asks in the wrong one is told which is right', async (t) => {
    const [secure, plain] = [await startEtcd(t, { tls: 'clients' }), await startEtcd(t)];
    const [url] = secure.endpoints;
    const endpoints = secure.endpoints.map((text) => text.replace('https', 'http'));
    await refused(patient(t, { endpoints }), /is asked without TLS, but speaks TLS/, /https:\/\//);
    const asked = plain.endpoints.map((text) => text.replace('http', 'https'));
    await refused(patient(t, { endpoints: asked }), /is asked with TLS, but speaks none/, /http:\/\//);
    assert.match(url ?? '', /^https/);
  });

  test('is not taken for refused while it is only going down', async (t) => {
    const etcd = await startEtcd(t, { tls: 'server' });
    const store = opened(t, { ...etcd, ...pems(etcd) });
    await store.get('/t/a');
    await etcd.kill();
    await assert.rejects(store.get('/t/a'), { code: 'cluster-unreachable', retryable: true });
    const nobody = opened(t, { endpoints: [`https://127.0.0.1:${await freePort()}`] });
    await assert.rejects(nobody.get('/t/a'), { code: 'cluster-unreachable' });
  });
});

function patient(t: Cleanup, options: StoreOptions): Store {
  return opened(t, { ...options, callTimeoutMs: DEADLINE_MS });
}

function withUsers(t: Cleanup, prefix = PREFIX): Promise<Etcd> {
  return startEtcd(t).then(async (etcd) => {
    await etcd.addUser(USER.user, USER.password, prefix);
    return etcd;
  });
}

/** Reads, writes and mirrors alike, at once, in words; and the store still closes. */
async function refused(store: Store, why: RegExp, hint: RegExp): Promise<void> {
  const says = (error: unknown) => {
    assert.ok(error instanceof GantryError, String(error));
    assert.deepEqual([error.code, error.retryable], ['cluster-refused', false], error.message);
    assert.match(error.message, why);
    assert.match(error.hint ?? '', hint);
    return true;
  };
  const took = await timed(async () => {
    await assert.rejects(store.get('/t/a'), says);
    await assert.rejects(store.commit([], [{ kind: 'put', key: '/t/a', value: '1' }]), says);
  });
  assert.ok(took < PROMPT_MS, `it took ${took} ms`);
  const mirror = store.follow({ range: ALL, onChange: () => {} });
  await soon('the mirror says why', () => why.test(mirror.trouble ?? ''));
  mirror.close();
}

function pems({ certificates }: Etcd): Pick<StoreOptions, 'cert' | 'key'> & { ca: Buffer } {
  return { ca: readFileSync(certificates?.ca ?? ''), ...pair(certificates?.client) };
}

function pair(files: { cert: string; key: string } | undefined): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(files?.cert ?? ''), key: readFileSync(files?.key ?? '') };
}
