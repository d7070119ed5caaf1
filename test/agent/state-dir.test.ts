import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { openStateDir } from '../../src/agent/state-dir.ts';
import { defaultStateDir } from '../../src/agent/state-path.ts';
import { isGantryError } from '../../src/errors.ts';

const run = promisify(execFile);
const AS_ROOT = process.getuid?.() === 0;

test('the default is /var/lib/gantryd for root and the XDG state folder for others', () => {
  assert.equal(defaultStateDir(0, { XDG_STATE_HOME: '/xdg' }), '/var/lib/gantryd');
  assert.equal(defaultStateDir(1000, { XDG_STATE_HOME: '/xdg' }), '/xdg/gantryd');
  assert.equal(defaultStateDir(1000, {}), join(homedir(), '.local/state/gantryd'));
  assert.equal(
    defaultStateDir(1000, { XDG_STATE_HOME: 'relative' }),
    join(homedir(), '.local/state/gantryd'),
  );
});

test('is made, private, with all folders above it', async (t) => {
  const path = join(await scratch(t), 'a', 'b');
  const opened = await openStateDir(path);
  assert.equal(opened.path, path);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(path), ['host-id']);
});

test('the host id stays the same', async (t) => {
  const path = await scratch(t);
  const { hostId } = await openStateDir(path);
  assert.match(hostId, /^[0-9a-f-]{36}$/);
  assert.equal((await openStateDir(path)).hostId, hostId);
  assert.notEqual((await openStateDir(await scratch(t))).hostId, hostId);
});

test('all who open a new one at once agree on the host id', async (t) => {
  const path = join(await scratch(t), 'new');
  const opened = await Promise.all(Array.from({ length: 20 }, () => openStateDir(path)));
  assert.equal(new Set(opened.map(({ hostId }) => hostId)).size, 1);
  assert.deepEqual(await readdir(path), ['host-id']);
});

test('a host id that is none is refused, not replaced', async (t) => {
  const path = await scratch(t);
  await writeFile(join(path, 'host-id'), 'scrambled');
  await refused(path, /host-id does not hold a host id$/);
  assert.equal(await readFile(join(path, 'host-id'), 'utf8'), 'scrambled');
});

test('a file in its place, or in place of a folder above it, is refused', async (t) => {
  const file = join(await scratch(t), 'file');
  await writeFile(file, '');
  await refused(file, /is a file$/);
  await refused(join(file, 'below'), /is a file$/);
});

test('a folder that everybody may write to is refused', async (t) => {
  const path = await scratch(t);
  await chmod(path, 0o777);
  await refused(path, /can be written to by others \(mode 0777\)$/, /chmod go-w/);
});

test('someone else’s folder that a group may write to is refused', async (t) => {
  if (!AS_ROOT) return t.skip('NOT TESTED: a folder of another user (needs root)');
  const path = await scratch(t);
  await chown(path, 12345, 12345);
  await chmod(path, 0o770);
  await refused(path, /belongs to user 12345 and can be written to by others/);
  await chmod(path, 0o700);
  await openStateDir(path);
});

test('a folder on a read-only file system is refused', async (t) => {
  const path = await disk(t, 'ro,mode=0700');
  if (path === undefined) return;
  await refused(path, /^cannot write to the state directory .*read-only/i, /--state-dir/);
  await refused(join(path, 'below'), /^cannot make the state directory/);
});

test('a full disk is said to be full and no temporary file stays', async (t) => {
  const path = await disk(t, 'size=4k,mode=0700');
  if (path === undefined) return;
  await writeFile(join(path, 'filler'), Buffer.alloc(4096));
  await assert.rejects(openStateDir(path), (error) => {
    assert.ok(isGantryError(error, 'state-write'));
    assert.match(error.message, /host-id: the disk is full$/);
    return true;
  });
  assert.deepEqual(await readdir(path), ['filler']);
});

test('a path too long for a socket in it is refused before anything is made', async (t) => {
  const base = await scratch(t);
  const longest = join(base, 'x'.repeat(107 - '/proxy.sock'.length - base.length - 1));
  await openStateDir(longest);
  await refused(`${longest}xx`, /path is 2 bytes too long for a socket/, /at most 96 bytes/);
  assert.equal((await readdir(base)).length, 1);
});

async function refused(path: string, message: RegExp, hint = /./): Promise<void> {
  await assert.rejects(openStateDir(path), (error) => {
    assert.ok(isGantryError(error, 'state-dir'), String(error));
    assert.match(error.message, message);
    assert.match(error.hint ?? '', hint);
    return true;
  });
}

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-state-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A file system of its own; undefined, and said so, where it cannot be mounted. */
async function disk(t: TestContext, options: string): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'gantryd-state-'));
  try {
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]);
  } catch {
    await rm(folder, { recursive: true });
    t.skip('NOT TESTED: full and read-only disks (mounting a tmpfs needs root)');
    return undefined;
  }
  t.after(async () => {
    await run('umount', [folder]);
    await rm(folder, { recursive: true });
  });
  return folder;
}
