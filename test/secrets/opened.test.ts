import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { isGantryError } from '../../src/errors.ts';
import { openSecrets } from '../../src/secrets/opened.ts';
import { publicKeyText, seal } from '../../src/secrets/seal.ts';
import { removeSecret, setSecret } from '../../src/secrets/secret-store.ts';
import { memoryPlace, scratch } from './ground.ts';

const { privateKey } = generateKeyPairSync('x25519');
const publicKey = publicKeyText(privateKey);

async function ground(t: TestContext) {
  const place = memoryPlace();
  const stateDir = await scratch(t);
  const key = async () => privateKey;
  const secrets = openSecrets({ ...place, stateDir, key });
  const set = (name: string, value: string) =>
    setSecret(place, { name, value: Buffer.from(value), publicKey, by: 'ann@desk', now: 0 });
  const texts = (values: ReadonlyMap<string, Buffer>) =>
    Object.fromEntries([...values].map(([name, value]) => [name, value.toString()]));
  return { place, stateDir, secrets, set, texts, key };
}

describe('the values of secrets', () => {
  test('are those of the store, and those that came with a job', async (t) => {
    const { secrets, set, texts } = await ground(t);
    await set('db', 'one');
    const sealed = seal(publicKey, Buffer.from('two'), 'shop/job');
    const values = await secrets.values([{ name: 'db' }, { name: 'extra', sealed }]);
    assert.deepEqual(texts(values), { db: 'one', extra: 'two' });
    assert.equal((await secrets.values([])).size, 0);
  });

  test('name all that were not set, and what may have been meant', async (t) => {
    const { secrets, set } = await ground(t);
    await set('db-password', 'one');
    const asked = secrets.values([{ name: 'db-password' }, { name: 'db-pasword' }, { name: 'token' }]);
    await assert.rejects(asked, (error: unknown) => {
      assert.ok(isGantryError(error, 'secret-unknown'));
      assert.equal(error.message, 'There are no secrets db-pasword (did you mean "db-password"?), token');
      assert.match(error.hint ?? '', /db-password/);
      return true;
    });
  });

  test('are not taken from another secret or project, whoever moved them in the store', async (t) => {
    const { place, secrets, set } = await ground(t);
    await set('db', 'one');
    const { value = '' } = (await place.store.get(place.keys.secret('db'))) ?? {};
    await place.store.commit([], [{ kind: 'put', key: place.keys.secret('token'), value }]);
    await assert.rejects(secrets.values([{ name: 'token' }]), (error) => isGantryError(error, 'secrets-key'));
    const foreign = seal(publicKey, Buffer.from('x'), 'stop/job');
    await assert.rejects(secrets.values([{ name: 'x', sealed: foreign }]), (e) =>
      isGantryError(e, 'secrets-key'),
    );
  });

  test('are to be had while the store is away, from what was fetched before', async (t) => {
    const { place, stateDir, secrets, set, texts } = await ground(t);
    await set('db', 'hunter2');
    await set('other', 'x');
    await secrets.values([{ name: 'db' }]);
    const copy = await readFile(join(stateDir, 'secrets', 'shop', 'db.json'), 'utf8');
    assert.ok(!copy.includes('hunter2'));
    place.store.disconnect();
    assert.deepEqual(texts(await secrets.values([{ name: 'db' }])), { db: 'hunter2' });
    const asked = secrets.values([{ name: 'other' }]);
    await assert.rejects(asked, (error) => isGantryError(error, 'cluster-unreachable'));
  });

  test('last for what was prepared with them, also when they are set anew or removed', async (t) => {
    const { place, secrets, set, texts } = await ground(t);
    await set('db', 'one');
    await secrets.values([{ name: 'db' }]);
    await set('db', 'two');
    await set('late', 'three');
    assert.deepEqual(texts(await secrets.lasting(['db', 'late'])), { db: 'one', late: 'three' });
    await removeSecret(place, { name: 'db', by: 'ann@desk', now: 0 });
    assert.deepEqual(texts(await secrets.lasting(['db'])), { db: 'one' });
    await assert.rejects(secrets.values([{ name: 'db' }]), (error) => isGantryError(error, 'secret-unknown'));
  });

  test('are renewed from the store alone, and last from then on', async (t) => {
    const { place, secrets, set, texts } = await ground(t);
    await set('db', 'one');
    await secrets.renew(['db']);
    await set('db', 'two');
    place.store.disconnect();
    await assert.rejects(secrets.renew(['db']), (error) => isGantryError(error, 'cluster-unreachable'));
    assert.deepEqual(texts(await secrets.lasting(['db'])), { db: 'one' });
    place.store.connect();
    await secrets.renew(['db']);
    assert.deepEqual(texts(await secrets.lasting(['db'])), { db: 'two' });
    await assert.rejects(secrets.renew(['db', 'x']), (error) => isGantryError(error, 'secret-unknown'));
  });

  test('that cannot be opened do not take the place of those that could', async (t) => {
    const { place, secrets, set, texts } = await ground(t);
    await set('db', 'one');
    await secrets.renew(['db']);
    const foreign = publicKeyText(generateKeyPairSync('x25519').privateKey);
    await setSecret(place, { name: 'db', value: Buffer.from('two'), publicKey: foreign, by: 'eve', now: 0 });
    await assert.rejects(secrets.renew(['db']), (error) => isGantryError(error, 'secrets-key'));
    assert.deepEqual(texts(await secrets.lasting(['db'])), { db: 'one' });
  });

  test('that were fetched for a key this host has no more are fetched again', async (t) => {
    const { place, stateDir, secrets, set, texts } = await ground(t);
    await set('db', 'one');
    await secrets.values([{ name: 'db' }]);
    const next = generateKeyPairSync('x25519').privateKey;
    const value = Buffer.from('two');
    await setSecret(place, { name: 'db', value, publicKey: publicKeyText(next), by: 'ann', now: 0 });
    const renewed = openSecrets({ ...place, stateDir, key: async () => next });
    assert.deepEqual(texts(await renewed.lasting(['db'])), { db: 'two' });
  });

  test('are not sought under names that are paths', async (t) => {
    const { secrets } = await ground(t);
    await assert.rejects(secrets.values([{ name: '../x' }]), (error) => isGantryError(error, 'usage'));
  });
});

describe('the registry auth of a job', () => {
  test('is opened; what is none is refused without a word of it', async (t) => {
    const { secrets } = await ground(t);
    const sealed = (text: string) => seal(publicKey, Buffer.from(text), 'shop/job');
    assert.deepEqual(await secrets.auth({ sealed: sealed('{"username":"ann"}') }), { username: 'ann' });
    for (const text of ['hunter2', '["hunter2"]', '{"password":{"hunter2":1}}']) {
      await assert.rejects(secrets.auth({ sealed: sealed(text) }), (error: unknown) => {
        return (
          isGantryError(error, 'secrets-key') &&
          !JSON.stringify([error.message, error.hint]).includes('hunter2')
        );
      });
    }
  });
});
