import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { isGantryError } from '../../src/errors.ts';
import { isPublicKey, open, publicKeyText, seal } from '../../src/secrets/seal.ts';

const { privateKey } = generateKeyPairSync('x25519');
const PUBLIC = publicKeyText(privateKey);
const WORD = Buffer.from('correct horse');

const refused = (pattern: RegExp) => (error: unknown) =>
  isGantryError(error, 'secrets-key') &&
  pattern.test(error.message) &&
  !error.message.includes(WORD.toString());

describe('a sealed value', () => {
  test('is opened as it was, whatever its bytes and length', () => {
    for (const bytes of [1, 15, 16, 4096, 512 * 1024]) {
      const plain = randomBytes(bytes);
      assert.deepEqual(open(privateKey, seal(PUBLIC, plain, 'shop/db'), 'shop/db'), plain);
    }
  });

  test('is never the same twice, and shows nothing of what is in it', () => {
    const [one, other] = [seal(PUBLIC, WORD, 'shop/db'), seal(PUBLIC, WORD, 'shop/db')];
    assert.notEqual(one, other);
    assert.match(one, /^v1\.[A-Za-z0-9_-]+$/);
    assert.ok(!Buffer.from(one.slice(3), 'base64url').includes(WORD));
  });

  test('is not opened for another context', () => {
    const sealed = seal(PUBLIC, WORD, 'shop/db');
    for (const context of ['shop/d', 'shop/db2', 'stop/db', '']) {
      assert.throws(
        () => open(privateKey, sealed, context),
        refused(/damaged, or was sealed for something else/),
      );
    }
  });

  test('is not opened with another key, and says that it is another', () => {
    const other = generateKeyPairSync('x25519').privateKey;
    const sealed = seal(PUBLIC, WORD, 'shop/db');
    assert.throws(() => open(other, sealed, 'shop/db'), refused(/shop\/db was sealed for another key/));
  });

  test('is not opened when any byte of it was changed, or some are missing', () => {
    const body = Buffer.from(seal(PUBLIC, WORD, 'shop/db').slice(3), 'base64url');
    for (let i = 0; i < body.length; i++) {
      const changed = Buffer.from(body);
      changed[i] = (changed[i] ?? 0) ^ 1;
      const text = `v1.${changed.toString('base64url')}`;
      assert.throws(() => open(privateKey, text, 'shop/db'), refused(/./), `byte ${i}`);
    }
    for (const length of [0, 8, 40, 55, body.length - 1]) {
      const text = `v1.${body.subarray(0, length).toString('base64url')}`;
      assert.throws(() => open(privateKey, text, 'shop/db'), refused(/damaged/), `${length} bytes`);
    }
  });

  test('of no known form is refused', () => {
    for (const text of ['', 'v1.', 'v2.AAAA', 'correct horse', 'v1.!!!', `v1.${'A'.repeat(200)}=`]) {
      assert.throws(() => open(privateKey, text, 'shop/db'), refused(/./), text);
    }
  });
});

describe('a public key', () => {
  test('is 32 bytes as base64url', () => {
    assert.ok(isPublicKey(PUBLIC));
    assert.equal(Buffer.from(PUBLIC, 'base64url').length, 32);
    for (const text of ['', 'AAAA', `${PUBLIC}A`, `${PUBLIC}=`, PUBLIC.slice(1)])
      assert.ok(!isPublicKey(text), text);
  });

  test('that is none, or agrees with everybody on the same, is refused', () => {
    const zero = Buffer.alloc(32).toString('base64url');
    for (const text of ['AAAA', zero]) {
      assert.throws(() => seal(text, WORD, 'shop/db'), refused(/is no public key for secrets/));
    }
  });
});
