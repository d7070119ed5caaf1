import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { isGantryError } from '../../src/errors.ts';
import { defaultSecretsFolder, mountedSecrets } from '../../src/secrets/mounted.ts';
import { ROOT } from '../../src/secrets/owner.ts';
import { scratch } from './ground.ts';

const AS_ROOT = process.getuid?.() === 0;
const SOME = new Map([
  ['db', Buffer.from('hunter2')],
  ['token', Buffer.from([0, 255, 10])],
]);

/** In memory, as /run is. */
const inMemory = (t: TestContext) => scratch(t, '/dev/shm');

const fileOf = (bind = '') => bind.split(':')[0] ?? '';

describe('the files of secrets', () => {
  test('are bound read-only under /run/secrets, each of mode 0400 in folders that nobody else enters', async (t) => {
    const folder = await inMemory(t);
    const files = mountedSecrets({ stateDir: '/state', scope: 'jobs/shop', folder });
    const binds = await files.place('c1', SOME, ROOT);
    assert.deepEqual(
      binds.map((bind) => bind.replace(/^.*\/jobs\/shop\//, '')),
      ['c1/db:/run/secrets/db:ro', 'c1/token:/run/secrets/token:ro'],
    );
    for (const [i, value] of [...SOME.values()].entries()) {
      assert.deepEqual(await readFile(fileOf(binds[i])), value);
      assert.equal((await stat(fileOf(binds[i]))).mode & 0o7777, 0o400);
    }
    assert.equal((await stat(join(fileOf(binds[0]), '..'))).mode & 0o7777, 0o700);
    assert.deepEqual(await files.place('c2', new Map(), ROOT), []);
  });

  test('are given to the owner when they are placed again', {
    skip: AS_ROOT ? false : 'needs root',
  }, async (t) => {
    const folder = await inMemory(t);
    const files = mountedSecrets({ stateDir: '/state', scope: 'jobs/shop', folder });
    const binds = await files.place('c1', SOME, ROOT);
    assert.deepEqual(await files.place('c1', SOME, { uid: 1000, gid: 1001 }), binds);
    const { uid, gid, mode } = await stat(fileOf(binds[0]));
    assert.deepEqual([uid, gid, mode & 0o7777], [1000, 1001, 0o400]);
    assert.deepEqual((await readdir(join(fileOf(binds[0]), '..'))).sort(), ['db', 'token']);
  });

  test('go with their container, and with those that are not there any more', async (t) => {
    const folder = await inMemory(t);
    const files = mountedSecrets({ stateDir: '/state', scope: 'jobs/shop', folder });
    const others = [
      mountedSecrets({ stateDir: '/other', scope: 'jobs/shop', folder }),
      mountedSecrets({ stateDir: '/state', scope: 'components/shop/web', folder }),
    ];
    const [kept] = await files.place('kept', SOME, ROOT);
    const foreign = await Promise.all(others.map((each) => each.place('gone', SOME, ROOT)));
    await files.place('gone', SOME, ROOT);
    await files.place('removed', SOME, ROOT);
    await files.remove('removed');
    await files.remove('removed');
    await files.keepOnly(['kept']);
    assert.deepEqual(await readdir(join(fileOf(kept), '..', '..')), ['kept']);
    for (const [bind] of foreign) await stat(fileOf(bind));
  });

  test('that were placed just now stay where others may be about to use them', async (t) => {
    const folder = await inMemory(t);
    const files = mountedSecrets({ stateDir: '/state', scope: 'jobs/shop', folder, sparedMs: 60_000 });
    const [young] = await files.place('young', SOME, ROOT);
    const [old] = await files.place('old', SOME, ROOT);
    const then = new Date(Date.now() - 61_000);
    await utimes(join(fileOf(old), '..'), then, then);
    await files.keepOnly([]);
    assert.deepEqual(await files.containers(), ['young']);
    await stat(fileOf(young));
  });

  test('are not written to a disk, and the message says where they may be', async (t) => {
    const folder = await scratch(t);
    const files = mountedSecrets({ stateDir: '/state', scope: 'jobs/shop', folder: join(folder, 'x') });
    await assert.rejects(files.place('c1', SOME, ROOT), (error: unknown) => {
      assert.ok(isGantryError(error, 'host-unfit'));
      assert.match(error.message, /is not in memory/);
      assert.match(error.hint ?? '', /GANTRYD_SECRETS_DIR/);
      return true;
    });
    await files.remove('c1');
    await files.keepOnly([]);
  });

  test('are not written where others may enter', async (t) => {
    const folder = join(await inMemory(t), 'open');
    await mkdir(folder);
    await chmod(folder, 0o755);
    const files = mountedSecrets({ stateDir: '/state', scope: 'jobs/shop', folder });
    await assert.rejects(files.place('c1', SOME, ROOT), (error) => isGantryError(error, 'host-unfit'));
    assert.deepEqual(await readdir(folder), []);
  });

  test('are not sought, nor anything removed, in a folder that others could have filled', async (t) => {
    const folder = join(await inMemory(t), 'open');
    const elsewhere = await inMemory(t);
    await mkdir(join(elsewhere, 'precious'));
    const files = mountedSecrets({ stateDir: '/state', scope: 'jobs', folder });
    const [bind] = await files.place('c1', SOME, ROOT);
    const scope = join(fileOf(bind), '..', '..');
    await rm(scope, { recursive: true });
    await symlink(elsewhere, scope);
    await chmod(folder, 0o777);
    assert.deepEqual(await files.containers(), []);
    await files.keepOnly([]);
    await files.remove('precious');
    await stat(join(elsewhere, 'precious'));
  });

  test('are under /run for root, in the own runtime folder for others, and where the variable says', () => {
    assert.equal(defaultSecretsFolder(0, {}), '/run/gantryd/secrets');
    assert.equal(
      defaultSecretsFolder(1000, { XDG_RUNTIME_DIR: '/run/user/1000' }),
      '/run/user/1000/gantryd/secrets',
    );
    assert.equal(defaultSecretsFolder(0, { GANTRYD_SECRETS_DIR: '/dev/shm/g' }), '/dev/shm/g');
    for (const env of [{}, { GANTRYD_SECRETS_DIR: 'here' }, { GANTRYD_SECRETS_DIR: '/a:b' }]) {
      assert.throws(
        () => defaultSecretsFolder(1000, env),
        (error) => isGantryError(error, 'host-unfit'),
      );
    }
  });
});
