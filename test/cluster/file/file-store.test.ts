import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { openFileStore } from '../../../src/cluster/file/file-store.ts';
import { FILE, StoreFile } from '../../../src/cluster/file/file-store-file.ts';
import { type Store, startingWith } from '../../../src/cluster/store.ts';
import { tempFolder, until } from '../../ground/harness.ts';
import { fails, storeContract } from '../contract.ts';

const ALL = startingWith('/');
const run = promisify(execFile);

function fileGround() {
  let folder = '';
  const path = () => join(folder, FILE);
  return {
    skip: false as const,
    setUp: async () => {
      folder = await mkdtemp(join(tmpdir(), 'g-'));
    },
    tearDown: () => rm(folder, { recursive: true }),
    open: () => openFileStore(folder),
    endLease: async (lease: string) => {
      const file = new StoreFile(folder, () => {});
      await file.change((draft) => draft.end([lease]));
      await file.close();
    },
    snapshot: async () => {
      await copyFile(path(), `${path()}.old`);
      return () => rename(`${path()}.old`, path());
    },
  };
}

storeContract('The file store', fileGround());

describe('The file store', () => {
  test('a file that is damaged is named, told to who follows, and left as it is', async (t) => {
    const folder = await tempFolder(t);
    const store = opened(t, folder);
    await put(store, '/a');
    const mirror = store.follow({ range: ALL, onChange: () => {} });
    await until(() => mirror.current, { timeoutMs: 5000, what: 'it is current' });
    const whole = await readFile(join(folder, FILE), 'utf8');
    for (const text of ['', whole.slice(0, -20), whole.replace('"format":1', '"format":2')]) {
      await writeFile(join(folder, FILE), text);
      await fails(store.get('/a'), 'state-dir');
      await assert.rejects(put(store, '/b'), /store\.json is damaged, or was written by a newer gantryd/);
      assert.equal(await readFile(join(folder, FILE), 'utf8'), text);
    }
    await until(() => !mirror.current, { timeoutMs: 5000, what: 'it is not current' });
    assert.match(mirror.trouble ?? '', /is damaged/);
    assert.equal(mirror.entries.size, 1);
    await writeFile(join(folder, FILE), whole);
    await until(() => mirror.current, { timeoutMs: 5000, what: 'it is current again' });
    assert.equal((await store.get('/a'))?.value, '1');
  });

  test('a full disk: what is there stays, and nothing is half written', async (t) => {
    const folder = await tinyDisk(t);
    if (folder === undefined) return;
    const store = opened(t, folder);
    await put(store, '/a');
    const before = await store.list(ALL);
    const writes = ['/a', '/b'].map((key) => ({ kind: 'put', key, value: 'x'.repeat(50_000) }) as const);
    await assert.rejects(store.commit([], writes), /the disk is full/);
    assert.deepEqual(await store.list(ALL), before);
    assert.equal((await put(store, '/b')).revision, before.revision + 1);
  });

  test('a folder that is not there is empty, and made by the first write, for its owner alone', async (t) => {
    const folder = join(await tempFolder(t), 'jobs', 'here');
    const store = opened(t, folder);
    const mirror = store.follow({ range: ALL, onChange: () => {} });
    await mirror.listed(AbortSignal.timeout(5000));
    assert.deepEqual(await store.list(ALL), { entries: [], revision: 1 });
    await put(store, '/a');
    await until(() => mirror.entries.size === 1, { timeoutMs: 5000, what: 'it is followed' });
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    assert.equal((await stat(join(folder, FILE))).mode & 0o777, 0o600);
  });

  test('a folder that cannot be is refused', async (t) => {
    const file = join(await tempFolder(t), 'file');
    await writeFile(file, '');
    await fails(put(opened(t, join(file, 'below')), '/a'), 'state-dir');
    await fails(opened(t, file).get('/a'), 'state-dir');
  });

  test('of commits that come together the one that is refused takes no other with it', async (t) => {
    const store = opened(t, await tempFolder(t));
    const lost = store.commit([], [{ kind: 'put', key: '/b', value: '1', lease: 'nobody' }]);
    const [a, b, c] = await Promise.allSettled([put(store, '/a'), lost, put(store, '/c')]);
    assert.deepEqual([a.status, b.status, c.status], ['fulfilled', 'rejected', 'fulfilled']);
    const { entries } = await store.list(ALL);
    assert.deepEqual(
      entries.map(({ key, modRevision }) => [key, modRevision]),
      [
        ['/a', 2],
        ['/c', 3],
      ],
    );
  });

  test('a session that writes nothing leaves no trace', async (t) => {
    const folder = await tempFolder(t);
    const store = opened(t, folder);
    const session = store.session({ ttlMs: 2000, onChange: () => {} });
    await until(() => session.lease(), { timeoutMs: 5000, what: 'it is held' });
    await session.close();
    await store.close();
    assert.deepEqual(await readdir(folder), []);
  });
});

function opened(t: TestContext, folder: string): Store {
  const store = openFileStore(folder);
  t.after(() => store.close());
  return store;
}

function put(store: Store, key: string) {
  return store.commit([], [{ kind: 'put', key, value: '1' }]);
}

/** A file system of 64 KiB; undefined, and said so, where it cannot be mounted. */
async function tinyDisk(t: TestContext): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'g-disk-'));
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]).then(
    () => true,
    () => false,
  );
  t.after(async () => {
    if (mounted) await run('umount', ['--lazy', folder]);
    await rm(folder, { recursive: true });
  });
  if (!mounted) t.skip('no file system can be mounted here');
  return mounted ? folder : undefined;
}
