/** What a host sees to before it may adopt a release, over an engine in memory. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import type { ReleaseValue } from '../../src/cluster/values.ts';
import { GantryError, isGantryError } from '../../src/errors.ts';
import { LEAST_FREE_BYTES, type PrepareInput, prepare } from '../../src/fleet/prepare.ts';
import { openSecrets } from '../../src/secrets/opened.ts';
import { publicKeyText } from '../../src/secrets/seal.ts';
import { setSecret } from '../../src/secrets/secret-store.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { memoryPlace, scratch } from '../secrets/ground.ts';
import { releaseOf } from './rollout-builders.ts';

const ID = `sha256:${'2'.padStart(64, '0')}`;

/** Release 2, made from an image of this id. */
function release(over: Partial<ReleaseValue['image']> = {}, requires: ReleaseValue['requires'] = []) {
  return { ...releaseOf(2), requires, image: { name: 'app:2', id: ID, digests: [], ...over } };
}

/** `ready`, or why not, and whether that may pass by itself. */
async function prepared(engine: FakeEngine, over: Partial<PrepareInput> = {}): Promise<string> {
  const { signal } = new AbortController();
  const quiet = { tell: () => {}, offers: () => true, returns: false, secrets: undefined };
  try {
    await prepare({ engine, release: release(), signal, ...quiet, ...over });
    return 'ready';
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return `${error.code}${error.retryable ? ', may pass' : ''}`;
  }
}

test('what is there is not pulled', async () => {
  const engine = new FakeEngine();
  engine.addImage('app:2', ID);
  assert.equal(await prepared(engine), 'ready');
  assert.ok(!engine.calls.some((c) => c.startsWith('pull')));
});

test('what is not there is pulled, by its digest where there is one', async () => {
  const engine = new FakeEngine();
  const { id } = engine.publishImage('app@sha256:d');
  assert.equal(await prepared(engine, { release: release({ id, digests: ['app@sha256:d'] }) }), 'ready');
  assert.ok(engine.calls.includes('pull app@sha256:d'));
});

test('a tag that means another image now is no way to the release', async () => {
  const engine = new FakeEngine();
  engine.publishImage('app:2');
  assert.equal(await prepared(engine), 'image-differs');
});

test('an image that nobody has ends it; an engine that is away may come back', async () => {
  const engine = new FakeEngine();
  assert.equal(await prepared(engine), 'image-not-found');
  engine.reachable = false;
  assert.equal(await prepared(engine), 'engine-unreachable, may pass');
});

test('what no registry was known to have may never have been pushed, and that is said', async () => {
  const engine = new FakeEngine();
  const hintOf = async (retryable: boolean, digests: readonly string[]) => {
    engine.failNext('pull', new GantryError('pull-refused', 'no answer', { retryable, hint: 'Check it.' }));
    const { signal } = new AbortController();
    const input = { engine, signal, tell: () => {}, offers: () => true, returns: false, secrets: undefined };
    const error = await prepare({ ...input, release: release({ digests }) }).catch((e: unknown) => e);
    assert.ok(isGantryError(error, 'pull-refused') && error.retryable === retryable, String(error));
    return error.hint;
  };
  const asked = 'Was it pushed? Where the release was made no registry was known to have app:2. Check it.';
  assert.equal(await hintOf(true, []), asked);
  assert.equal(await hintOf(false, []), asked);
  assert.equal(await hintOf(true, ['app@sha256:d']), 'Check it.');
});

test('a full disk is waited for, one that cannot be told of is not', async () => {
  const engine = new FakeEngine();
  engine.addImage('app:2', ID);
  engine.freeBytes = LEAST_FREE_BYTES - 1;
  assert.equal(await prepared(engine), 'host-unfit, may pass');
  for (const enough of [LEAST_FREE_BYTES, undefined]) {
    engine.freeBytes = enough;
    assert.equal(await prepared(engine), 'ready');
  }
});

test('a link that nobody offers is waited for', async () => {
  const engine = new FakeEngine();
  engine.addImage('app:2', ID);
  const sql = { name: 'sql', alias: 'DB', exporter: 'db', kind: 'tcp', containerPort: 5432 } as const;
  const needs = { release: release({}, [sql]) };
  assert.equal(await prepared(engine, { ...needs, offers: () => false }), 'link-unavailable, may pass');
  assert.equal(await prepared(engine, needs), 'ready');
});

test('neither a full disk nor a link keeps a host from going back', async () => {
  const engine = new FakeEngine();
  engine.freeBytes = 0;
  const sql = { name: 'sql', alias: 'DB', exporter: 'db', kind: 'tcp', containerPort: 5432 } as const;
  const back = { release: release({}, [sql]), offers: () => false, returns: true };
  assert.equal(await prepared(engine, back), 'image-not-found');
  engine.addImage('app:2', ID);
  assert.equal(await prepared(engine, back), 'ready');
});

test('a secret that was not set refuses the release before anything is pulled', async (t) => {
  const folder = process.env.GANTRYD_SECRETS_DIR;
  t.after(() => {
    if (folder === undefined) delete process.env.GANTRYD_SECRETS_DIR;
    else process.env.GANTRYD_SECRETS_DIR = folder;
  });
  process.env.GANTRYD_SECRETS_DIR = await scratch(t, '/dev/shm');
  const engine = new FakeEngine();
  const { privateKey } = generateKeyPairSync('x25519');
  const place = memoryPlace();
  const port = {
    secrets: openSecrets({ ...place, stateDir: await scratch(t), key: async () => privateKey }),
    readFile: () => Promise.reject(new Error('nobody reads')),
  };
  const spec = { ...release().spec, secrets: ['db'] };
  const over = { release: { ...release(), spec }, secrets: port };
  assert.equal(await prepared(engine, over), 'secret-unknown');
  // What is gone back to has run with what it needs.
  engine.addImage('app:2', ID);
  assert.equal(await prepared(engine, { ...over, returns: true }), 'ready');
  const publicKey = publicKeyText(privateKey);
  await setSecret(place, { name: 'db', value: Buffer.from('x'), publicKey, by: 'ann', now: 0 });
  assert.equal(await prepared(engine, over), 'ready');
});
