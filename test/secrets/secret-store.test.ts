import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import { isGantryError } from '../../src/errors.ts';
import { publicKeyText } from '../../src/secrets/seal.ts';
import {
  listSecrets,
  publishedKey,
  publishKey,
  removeSecret,
  setSecret,
} from '../../src/secrets/secret-store.ts';
import { MemoryCluster } from '../cluster/memory-cluster.ts';
import { memoryPlace } from './ground.ts';

const publicKey = publicKeyText(generateKeyPairSync('x25519').privateKey);
const other = publicKeyText(generateKeyPairSync('x25519').privateKey);
const by = 'ann@desk';

const secret = (name: string, value: string | Buffer = 'hunter2') => {
  return { name, value: Buffer.from(value), publicKey, by, now: Date.UTC(2030, 0, 1) };
};

describe('secrets of a project', () => {
  test('are listed with their sizes, never with their values', async () => {
    const place = memoryPlace();
    await setSecret(place, secret('db-password'));
    await setSecret(place, secret('api.token', 'äöü\n'));
    const at = '2030-01-01T00:00:00.000Z';
    assert.deepEqual(await listSecrets(place), [
      { name: 'api.token', bytes: 7, by, at },
      { name: 'db-password', bytes: 7, by, at },
    ]);
    const { entries } = await place.store.list(place.keys.secrets());
    assert.ok(entries.every(({ value }) => !value.includes('hunter2')));
  });

  test('are replaced when they are set again, and gone when they are removed', async () => {
    const place = memoryPlace();
    await setSecret(place, secret('db', 'one'));
    await setSecret(place, secret('db', 'twotwo'));
    assert.deepEqual(
      (await listSecrets(place)).map(({ bytes }) => bytes),
      [6],
    );
    await removeSecret(place, { name: 'db', by: 'ann@desk', now: 0 });
    assert.deepEqual(await listSecrets(place), []);
  });

  test('that are not there cannot be removed; the one that was meant is told', async () => {
    const place = memoryPlace();
    await setSecret(place, secret('db-password'));
    await assert.rejects(
      removeSecret(place, { name: 'db-pasword', by: 'ann@desk', now: 0 }),
      (error: unknown) => {
        assert.ok(isGantryError(error, 'secret-unknown'));
        assert.equal(error.message, 'There is no secret db-pasword (did you mean "db-password"?)');
        return true;
      },
    );
  });

  test('have names that can be parts of keys and files, and values that are not empty or huge', async () => {
    const place = memoryPlace();
    const usage = (error: unknown) => isGantryError(error, 'usage');
    for (const name of ['', '.', '..', '.hidden', 'a/b', 'a b', 'ä', 'x'.repeat(64)]) {
      await assert.rejects(setSecret(place, secret(name)), usage, name);
    }
    await assert.rejects(setSecret(place, secret('db', '')), usage);
    await assert.rejects(setSecret(place, secret('db', Buffer.alloc(512 * 1024 + 1))), usage);
    await setSecret(place, secret('db', Buffer.alloc(512 * 1024)));
    await setSecret(place, secret(`x${'Y_.-'.repeat(15)}z1`));
  });

  test('of which one was damaged by hand are listed without it', async () => {
    const place = memoryPlace();
    await setSecret(place, secret('db'));
    await place.store.commit([], [{ kind: 'put', key: place.keys.secret('bad'), value: '{"format":1}' }]);
    assert.deepEqual(
      (await listSecrets(place)).map(({ name }) => name),
      ['db'],
    );
  });
});

describe('the public key', () => {
  test('is the one that was published first, whoever comes later', async () => {
    const cluster = new MemoryCluster();
    const [one, two] = [memoryPlace('shop', cluster), memoryPlace('shop', cluster)];
    assert.equal(await publishedKey(one), undefined);
    const answers = await Promise.all([publishKey(one, publicKey, 'h1', 0), publishKey(two, other, 'h2', 0)]);
    assert.equal(new Set(answers).size, 1);
    assert.equal(await publishKey(two, other, 'h2', 0), answers[0]);
    assert.equal(await publishedKey(one), answers[0]);
  });

  test('is published anew where the one that is there cannot be read', async () => {
    const place = memoryPlace();
    await place.store.commit([], [{ kind: 'put', key: place.keys.secretsKey, value: 'what?' }]);
    assert.equal(await publishKey(place, publicKey, 'h1', 0), publicKey);
    assert.equal(await publishedKey(place), publicKey);
  });
});
