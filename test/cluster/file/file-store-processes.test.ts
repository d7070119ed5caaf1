/** A file store that several processes use, and that are killed while they do. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFileStore } from '../../../src/cluster/file/file-store.ts';
import { type Store, startingWith } from '../../../src/cluster/store.ts';
import { tempFolder, until } from '../../ground/harness.ts';
import { start } from '../../ground/processes.ts';

const VISITOR = fileURLToPath(new URL('./file-store-visitor.js', import.meta.url));
const ALL = startingWith('/');

test('two processes that count together lose nothing', async (t) => {
  const folder = await tempFolder(t);
  const counting = [1, 2].map(() => start(t, process.execPath, [VISITOR, folder, 'count', '200']));
  for (const { ended } of counting) assert.equal((await ended).code, 0);
  assert.equal((await opened(t, folder).get('/n'))?.value, '400');
});

test('the keys of a process that is killed go with it, as one write, whoever looks next', async (t) => {
  const folder = await tempFolder(t);
  const [store, other] = [opened(t, folder), opened(t, folder)];
  const holder = start(t, process.execPath, [VISITOR, folder, 'hold']);
  await until(() => holder.stdout.includes('held'), { timeoutMs: 10_000, what: 'it holds its key' });
  const mirror = other.follow({ range: ALL, onChange: () => {} });
  await until(() => mirror.entries.has('/held'), { timeoutMs: 5000, what: 'the key is followed' });
  const { revision } = await store.list(ALL);
  holder.signal('SIGKILL');
  await holder.ended;
  assert.deepEqual(await store.list(ALL), { entries: [], revision: revision + 1 });
  await until(() => mirror.entries.size === 0, { timeoutMs: 5000, what: 'the mirror shows it' });
  assert.equal(mirror.revision, revision + 1);
});

test('a process that is killed in the middle of commits leaves a whole file, and all it was told', async (t) => {
  const folder = await tempFolder(t);
  for (let i = 0; i < 5; i++) {
    const writer = start(t, process.execPath, [VISITOR, folder, 'write']);
    await until(() => writer.stdout.split('\n').length > 3 + 2 * i, {
      timeoutMs: 10_000,
      what: 'it writes',
    });
    writer.signal('SIGKILL');
    await writer.ended;
    const told = Number(writer.stdout.trimEnd().split('\n').at(-1));
    const entry = await opened(t, folder).get('/w');
    assert.ok((entry?.modRevision ?? 0) >= told, `${entry?.modRevision} after ${told}`);
    assert.equal(entry?.value.length, 50_000);
  }
  await opened(t, folder).commit([], [{ kind: 'delete', key: '/w' }]);
  assert.deepEqual((await readdir(folder)).sort(), ['store.json', 'store.lock']);
});

function opened(t: TestContext, folder: string): Store {
  const store = openFileStore(folder);
  t.after(() => store.close());
  return store;
}
