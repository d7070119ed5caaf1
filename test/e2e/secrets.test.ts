/** What containers find under /run/secrets must be theirs alone, and nowhere else to be found. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxImage, removeImage, uniqueTag } from '../docker/images.ts';
import { dockerCall } from '../ground/docker.ts';
import { type Cleanup, engineAddress, skipWithoutEngine, until } from '../ground/harness.ts';
import { type Sandbox, sandbox } from '../ground/sandbox.ts';
import { scratch } from '../secrets/ground.ts';

const VALUE = 'hunter2 is no password\n';
const SUM = createHash('sha256').update(VALUE).digest('hex');
const APP = 'app:x:1234:1234::/:/bin/sh\n';

/** Passes where the container's own user reads the value, and nobody else may. */
const reads = (uid: number) => ({
  kind: 'exec',
  command: [
    ...['sh', '-c'],
    `test "$(sha256sum </run/secrets/db)" = "${SUM}  -" && test "$(stat -c %a:%u /run/secrets/db)" = 400:${uid} && test "$(id -u)" = ${uid}`,
  ],
});

const worker = (name: string, uid: number, tag: string, fields: object = {}) => {
  const image = { repo: tag.slice(0, -':1'.length), tag: '1' };
  return { name, ...image, secrets: ['db'], readyChecks: [reads(uid)], stopTimeout: 0, ...fields };
};

async function image(t: Cleanup, ...changes: readonly string[]): Promise<string> {
  const tag = uniqueTag();
  t.after(() => removeImage(engineAddress(), tag));
  const files = [{ path: 'etc/passwd', content: Buffer.from(APP) }];
  await busyboxImage(engineAddress(), tag, { files, changes });
  return tag;
}

/** Each file below the folder that holds the value. */
async function traces(folder: string): Promise<readonly string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const found = await Promise.all(files.map(async (file) => [file, await readFile(file)] as const));
  return found.filter(([, bytes]) => bytes.includes(VALUE.trimEnd())).map(([file]) => file);
}

test('a container reads its secrets as its own user, and nobody else finds them', {
  skip: skipWithoutEngine,
}, async (t) => {
  const box: Sandbox = await sandbox(t);
  const memory = await scratch(t, '/dev/shm');
  const [plain, named] = [await image(t), await image(t, 'USER app')];
  const file = await box.config({
    project: box.project,
    components: [
      worker('number', 1000, plain, { user: '1000' }),
      worker('name', 1234, named, { instances: 2 }),
    ],
  });
  const env = { GANTRYD_SECRETS_DIR: join(memory, 's') };
  const gantry = (...args: readonly string[]) => box.gantry(args, { env });
  const must = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await gantry(...args);
    assert.equal(code, 0, stdout + stderr);
    return stdout + stderr;
  };

  const refused = await gantry(file, 'update', 'number');
  assert.deepEqual([refused.code, (await box.containers()).length], [2, 0], refused.stderr);
  assert.match(refused.stderr, /There is no secret db\n/);

  const set = await box.gantry(['secret', 'set', 'db'], { env, input: VALUE });
  assert.equal(set.code, 0, set.stderr);
  const said = [set.stdout];
  for (const name of ['number', 'name']) {
    said.push(await must(file, 'update', name, '--json', '--log-level', 'debug'));
  }
  assert.ok(
    said.every((text) => !text.includes('hunter2')),
    said.join('\n'),
  );

  const containers = await box.containers();
  assert.equal(containers.length, 3);
  for (const { id } of containers) {
    const inspected = JSON.stringify(await dockerCall('GET', `/containers/${id}/json`));
    assert.ok(!inspected.includes('hunter2') && inspected.includes(':/run/secrets/db:ro'), inspected);
  }
  assert.deepEqual(await traces(box.stateDir), []);
  assert.equal((await traces(memory)).length, 3);

  // What serves is not touched by what cannot be.
  const { id } = containers.find(({ name }) => name.includes('-number-')) ?? {};
  const missing = await gantry(file, 'update', 'number', '--set', 'secrets=tokn');
  assert.equal(missing.code, 2, missing.stderr);
  assert.match(missing.stderr, /There is no secret tokn\n/);
  const ghost = await gantry(file, 'update', 'number', '--set', 'user=ghost');
  assert.equal(ghost.code, 1, ghost.stderr);
  assert.match(ghost.stderr, /user ghost: \/etc\/passwd of the image does not have it/);
  assert.ok((await box.containers()).some((c) => c.id === id && c.state === 'running'));

  // Removed, a secret stays with what was made with it, and what replaces it; nothing new gets it.
  await must('secret', 'rm', 'db');
  assert.equal((await gantry(file, 'update', 'number')).code, 2);

  for (const name of ['number', 'name']) await gantry(file, 'kill', name);
  await until(async () => (await traces(memory)).length === 0, { timeoutMs: 5_000, what: 'no value left' });
  assert.deepEqual(await box.containers(), []);
});
