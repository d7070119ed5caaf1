import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, chown, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { isGantryError } from '../../src/errors.ts';
import { keyIfThere, makeKeyFile, ownKey, publicKeyOf, readKeyFile } from '../../src/secrets/key-file.ts';
import { open, seal } from '../../src/secrets/seal.ts';
import { scratch } from './ground.ts';

const AS_ROOT = process.getuid?.() === 0;

const refused = (message: RegExp, hint: RegExp) => (error: unknown) =>
  isGantryError(error, 'secrets-key') && message.test(error.message) && hint.test(error.hint ?? '');

describe('a key file', () => {
  test('is made with mode 0600, alone in its folder, and read as the same key', async (t) => {
    const path = join(await scratch(t), 'deep', 'secrets.key');
    const made = await makeKeyFile(path);
    assert.equal((await stat(path)).mode & 0o7777, 0o600);
    assert.deepEqual(await readdir(join(path, '..')), ['secrets.key']);
    assert.match(await readFile(path, 'utf8'), /^-----BEGIN PRIVATE KEY-----\n/);
    const sealed = seal(publicKeyOf(made), Buffer.from('x'), 'shop/db');
    assert.equal(open(await readKeyFile(path), sealed, 'shop/db').toString(), 'x');
  });

  test('is never overwritten', async (t) => {
    const path = join(await scratch(t), 'secrets.key');
    await makeKeyFile(path);
    const before = await readFile(path, 'utf8');
    await assert.rejects(makeKeyFile(path), refused(/is not overwritten/, /another file/));
    assert.equal(await readFile(path, 'utf8'), before);
  });

  test('that is missing is told with how to make one', async (t) => {
    const path = join(await scratch(t), 'secrets.key');
    await assert.rejects(
      readKeyFile(path),
      refused(/is missing: there is no .*secrets\.key/, /gantryd secret keygen/),
    );
    assert.equal(await keyIfThere(path), undefined);
  });

  test('that others can read or write is refused, with the command that mends it', async (t) => {
    const path = join(await scratch(t), 'secrets.key');
    await makeKeyFile(path);
    for (const mode of [0o640, 0o604, 0o620, 0o666]) {
      await chmod(path, mode);
      await assert.rejects(readKeyFile(path), refused(/by others \(mode 06\d\d\)/, /^Run: chmod 600 /));
    }
    await chmod(path, 0o400);
    await readKeyFile(path);
  });

  test('of another user is refused', { skip: AS_ROOT ? false : 'needs root' }, async (t) => {
    const path = join(await scratch(t), 'secrets.key');
    await makeKeyFile(path);
    await chown(path, 1234, 1234);
    await assert.rejects(readKeyFile(path), refused(/belongs to user 1234/, /chown 0 /));
  });

  test('that holds no key, or one of another kind, is refused without a word of what it holds', async (t) => {
    const path = join(await scratch(t), 'secrets.key');
    const ed25519 = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
    for (const text of ['', 'hunter2', ed25519 as string, 'x'.repeat(5000)]) {
      await writeFile(path, text, { mode: 0o600 });
      await assert.rejects(readKeyFile(path), (error: unknown) => {
        return refused(/does not hold a key/, /keygen/)(error) && !String(error).includes('hunter2');
      });
    }
  });

  test('of one box is made when it is first needed, and all who ask at once get the same', async (t) => {
    const path = join(await scratch(t), 'secrets.key');
    const keys = await Promise.all([1, 2, 3, 4].map(() => ownKey(path)));
    assert.equal(new Set(keys.map(publicKeyOf)).size, 1);
    assert.equal(publicKeyOf(await ownKey(path)), publicKeyOf(await readKeyFile(path)));
    assert.deepEqual(await readdir(join(path, '..')), ['secrets.key']);
  });
});
