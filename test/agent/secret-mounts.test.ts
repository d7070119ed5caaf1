/** The files of a component's secrets, over an engine and a store in memory and real files. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { requireSecrets, secretMounts } from '../../src/agent/secret-mounts.ts';
import { isGantryError } from '../../src/errors.ts';
import { openSecrets } from '../../src/secrets/opened.ts';
import { publicKeyText } from '../../src/secrets/seal.ts';
import { setSecret } from '../../src/secrets/secret-store.ts';
import { componentOf, specOf } from '../docker/components.ts';
import { FakeEngine } from '../docker/fake-engine.ts';
import { memoryPlace, scratch } from '../secrets/ground.ts';
import { release } from './builders.ts';

const MEMORY = `/dev/shm/gantryd-mounts-${process.pid}`;
const { privateKey } = generateKeyPairSync('x25519');
const component = componentOf({ secrets: ['db'] });

describe('the secrets of a component', () => {
  const known = process.env.GANTRYD_SECRETS_DIR;
  before(() => {
    process.env.GANTRYD_SECRETS_DIR = MEMORY;
  });
  after(async () => {
    if (known === undefined) delete process.env.GANTRYD_SECRETS_DIR;
    else process.env.GANTRYD_SECRETS_DIR = known;
    await rm(MEMORY, { recursive: true, force: true });
  });

  async function ground(t: TestContext) {
    const stateDir = await scratch(t);
    const place = memoryPlace();
    const engine = new FakeEngine();
    const secrets = openSecrets({ ...place, stateDir, key: async () => privateKey });
    const port = { secrets, readFile: () => Promise.reject(new Error('nobody reads')) };
    const shared = { project: 'shop', component: 'web', hostId: 'host-1', stateDir, engine };
    const set = (value: string) => {
      const publicKey = publicKeyText(privateKey);
      return setSecret(place, { name: 'db', value: Buffer.from(value), publicKey, by: 'ann', now: 0 });
    };
    return {
      engine,
      port,
      set,
      mounts: secretMounts({ ...shared, port }),
      without: secretMounts({ ...shared, port: undefined }),
    };
  }

  const fileOf = (binds: readonly string[]) => binds[0]?.split(':')[0] ?? '';

  test('are there before the container is made, and before it starts, whatever became of them meanwhile', async (t) => {
    const { engine, mounts, set } = await ground(t);
    await set('one');
    let file = '';
    const id = await mounts.create('c1', component, async (binds) => {
      file = fileOf(binds);
      assert.equal(await readFile(file, 'utf8'), 'one');
      return 'id1';
    });
    assert.equal(id, 'id1');
    // As after a reboot.
    await rm(MEMORY, { recursive: true });
    const made = release(1, { component });
    engine.addImage('example/web:1', made.imageId);
    await mounts.beforeStart('id1', 'c1', made);
    assert.equal(await readFile(file, 'utf8'), 'one');
    await mounts.remove('c1');
    assert.equal(await mounts.mayHaveLeft(), false);
  });

  test('of a container that could not be made leave nothing', async (t) => {
    const { mounts, set } = await ground(t);
    await set('one');
    const failing = mounts.create('c1', component, async () => {
      assert.ok(await mounts.mayHaveLeft());
      throw new Error('no room');
    });
    await assert.rejects(failing, /no room/);
    assert.equal(await mounts.mayHaveLeft(), false);
  });

  test('go with containers that went while nobody looked', async (t) => {
    const { engine, mounts, set } = await ground(t);
    await set('one');
    engine.addImage('app:1', 'sha256:aa');
    const spec = specOf({ secrets: ['db'] });
    let file = '';
    await mounts.create(spec.name, component, (binds) => {
      file = fileOf(binds);
      return engine.create(spec);
    });
    await mounts.create('gone', component, async () => 'gone');
    await mounts.sweep();
    assert.deepEqual(await readdir(join(file, '..', '..')), [spec.name]);
  });

  test('are required before a release is made: set, to be opened, and with a place to be', async (t) => {
    const { port, set } = await ground(t);
    const unknown = (error: unknown) => isGantryError(error, 'secret-unknown');
    await assert.rejects(requireSecrets(port, component), unknown);
    await set('one');
    await requireSecrets(port, component);
    process.env.GANTRYD_SECRETS_DIR = await scratch(t);
    await assert.rejects(requireSecrets(port, component), (error) => isGantryError(error, 'host-unfit'));
    process.env.GANTRYD_SECRETS_DIR = MEMORY;
    await requireSecrets(undefined, componentOf());
  });

  test('are nothing to a component that has none', async (t) => {
    const { without } = await ground(t);
    assert.equal(await without.create('c1', componentOf(), async (binds) => `${binds.length}`), '0');
    await without.beforeStart('id', 'c1', release(1));
    await without.remove('c1');
    assert.equal(await without.mayHaveLeft(), false);
    await assert.rejects(
      without.create('c1', component, async () => 'id'),
      /nothing here can open them/,
    );
  });
});
