import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { isGantryError } from '../../src/errors.ts';
import { makeKeyFile, publicKeyOf } from '../../src/secrets/key-file.ts';
import { type SealingOptions, sealingKey } from '../../src/secrets/sealing-key.ts';
import { publishKey } from '../../src/secrets/secret-store.ts';
import { memoryPlace, scratch } from './ground.ts';

/** A machine that sets secrets; `key` makes a key file there. */
async function machine(t: TestContext) {
  const stateDir = await scratch(t);
  const place = memoryPlace();
  const defaults: SealingOptions = {
    ...{ stateDir, at: 'etcd /gantryd/shop', file: undefined, isPublishedTrusted: false },
  };
  return {
    place,
    stateDir,
    key: async (name: string) => publicKeyOf(await makeKeyFile(join(stateDir, name))),
    publish: (publicKey: string) => publishKey(place, publicKey, 'h1', 0),
    ask: (over: Partial<SealingOptions> = {}) => sealingKey(place, { ...defaults, ...over }),
  };
}

const refused = (words: RegExp) => (error: unknown) =>
  isGantryError(error, 'secrets-key') && words.test(`${error.message}\n${error.hint}`);

describe('the key to seal for', () => {
  test('is the published one where this machine has none; without one nothing is sealed', async (t) => {
    const { ask, key, publish } = await machine(t);
    await assert.rejects(ask(), refused(/No agent of shop has a key for secrets yet[\s\S]*secret keygen/));
    const publicKey = await key('elsewhere');
    await publish(publicKey);
    assert.deepEqual(await ask(), { publicKey, warnings: [] });
  });

  test('is told to be another one than this machine saw last, once', async (t) => {
    const { ask, key, publish, place, stateDir } = await machine(t);
    await publish(await key('one'));
    await ask();
    await place.store.commit([], [{ kind: 'delete', key: place.keys.secretsKey }]);
    const publicKey = await publish(await key('two'));
    const { warnings, ...rest } = await ask();
    assert.deepEqual(rest, { publicKey });
    assert.match(warnings.join(), /is not the one this machine saw last/);
    assert.deepEqual((await ask()).warnings, []);
    assert.deepEqual(JSON.parse(await readFile(join(stateDir, 'known-secrets-keys.json'), 'utf8')), {
      'etcd /gantryd/shop': publicKey,
    });
  });

  test('is the published one for an API without a state directory, which remembers none', async (t) => {
    const { ask, key, publish } = await machine(t);
    await assert.rejects(ask({ stateDir: undefined }), refused(/No agent of shop has a key/));
    const publicKey = await publish(await key('secrets.key'));
    assert.deepEqual(await ask({ stateDir: undefined }), { publicKey, warnings: [] });
  });

  test("is this host's own, and another one in etcd is not sealed for unless that is asked for", async (t) => {
    const { ask, key, publish } = await machine(t);
    const own = await key('secrets.key');
    const early = await ask();
    assert.equal(early.publicKey, own);
    assert.match(early.warnings.join(), /no agent of shop has published a key yet/);
    const other = await publish(await key('other'));
    await assert.rejects(ask(), refused(/is not the one in .*secrets\.key[\s\S]*--published-key/));
    assert.equal((await ask({ isPublishedTrusted: true })).publicKey, other);
  });

  test('may be in a file that is named, which must be there', async (t) => {
    const { ask, key, publish, stateDir } = await machine(t);
    const publicKey = await publish(await key('fleet.key'));
    await key('secrets.key');
    assert.deepEqual(await ask({ file: join(stateDir, 'fleet.key') }), { publicKey, warnings: [] });
    await assert.rejects(ask({ file: join(stateDir, 'none') }), refused(/is missing/));
  });
});
