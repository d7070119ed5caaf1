import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import {
  makeFolder,
  removeAbandoned,
  removeTemporaries,
  temporaryPath,
  writeDurably,
} from '../src/durable-file.ts';
import { isGantryError } from '../src/errors.ts';

const run = promisify(execFile);

test('the file holds the new text, is private, and nothing else is left', async (t) => {
  const folder = await scratch(t);
  const path = join(folder, 'tables.json');
  await writeDurably(path, 'old');
  await writeDurably(path, 'new ü');
  assert.equal(await readFile(path, 'utf8'), 'new ü');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(folder), ['tables.json']);
});

test('writers at the same time leave one whole text', async (t) => {
  const folder = await scratch(t);
  const path = join(folder, 'tables.json');
  const texts = Array.from({ length: 10 }, (_, index) => String(index).repeat(10_000));
  await Promise.all(texts.map((text) => writeDurably(path, text)));
  assert.ok(texts.includes(await readFile(path, 'utf8')));
  assert.deepEqual(await readdir(folder), ['tables.json']);
});

test('a target that cannot be replaced is refused and no temporary file stays', async (t) => {
  const folder = await scratch(t);
  await assert.rejects(writeDurably(folder, 'x'), (error) => isGantryError(error, 'state-write'));
  await assert.rejects(
    writeDurably(join(folder, 'no', 'file'), 'x'),
    /cannot write .*\/no\/file: the folder does not/,
  );
  assert.deepEqual(await readdir(folder), []);
});

test('a full disk is said to be full; the old text and no temporary file stay', async (t) => {
  const folder = await tinyDisk(t);
  if (folder === undefined) return;
  const path = join(folder, 'tables.json');
  await writeDurably(path, 'old');
  const tooMuch = 'x'.repeat(1024 * 1024);
  await assert.rejects(writeDurably(path, tooMuch), (error) => {
    assert.ok(isGantryError(error, 'state-write'));
    assert.equal(error.message, `cannot write ${path}: the disk is full`);
    assert.match(error.hint ?? '', /free some space/);
    return true;
  });
  assert.equal(await readFile(path, 'utf8'), 'old');
  assert.deepEqual(await readdir(folder), ['tables.json']);
});

test('temporary files of dead processes go, those of living ones and other files stay', async (t) => {
  const folder = await scratch(t);
  const dead = await deadPid();
  const name = (pid: number, random: string) => `.tables.json.${pid}.${random}.tmp`;
  const old = [name(dead, '00112233aabb'), name(process.pid, '00112233aabb'), '.tables.json.tmp', 'host-id'];
  for (const file of old) {
    await writeFile(join(folder, file), '');
    await utimes(join(folder, file), 1, 1);
  }
  await writeFile(join(folder, name(dead, 'ffffffffffff')), '');
  await removeAbandoned(folder);
  const left = [...old.slice(1), name(dead, 'ffffffffffff')];
  assert.deepEqual((await readdir(folder)).sort(), left.sort());
});

test('what dead writers of a file left goes at once, that of other files stays', async (t) => {
  const folder = await scratch(t);
  const others = ['.tables.json.old.1.00112233aabb.tmp', '.tables.tmp', 'tables.json'];
  for (const file of others) await writeFile(join(folder, file), '');
  await writeFile(temporaryPath(join(folder, 'tables.json')), '');
  await removeTemporaries(join(folder, 'tables.json'));
  assert.deepEqual((await readdir(folder)).sort(), others.sort());
});

test('a folder is made with those above it, and one that is there is fine', async (t) => {
  const folder = join(await scratch(t), 'a', 'b', 'c');
  await makeFolder(folder);
  await makeFolder(folder);
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
});

test('a folder that cannot be made is refused, and never waited for', async (t) => {
  const file = join(await scratch(t), 'file');
  await writeFile(file, '');
  await assert.rejects(makeFolder(file), { code: 'EEXIST' });
  await assert.rejects(makeFolder(join(file, 'below')), { code: 'ENOTDIR' });
  await assert.rejects(makeFolder('/proc/gantryd/state'), { code: 'ENOENT' });
});

async function deadPid(): Promise<number> {
  const { stdout } = await run('sh', ['-c', 'echo $$']);
  return Number(stdout);
}

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-durable-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A file system of 64 KiB; undefined, and said so, where it cannot be mounted. */
async function tinyDisk(t: TestContext): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-disk-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
  } catch {
    await rm(folder, { recursive: true });
    t.skip('NOT TESTED: a full disk (mounting a tmpfs needs root)');
    return undefined;
  }
  t.after(async () => {
    await run('umount', [folder]);
    await rm(folder, { recursive: true });
  });
  return folder;
}
