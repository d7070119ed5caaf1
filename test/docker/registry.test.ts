/** Pulls from a real registry on the loopback, open and with a password. Needs the program docker-registry. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { openJobEngine } from '../../src/docker/dockerode.ts';
import type { Engine, PullProgress } from '../../src/docker/engine.ts';
import { isGantryError } from '../../src/errors.ts';
import { fails } from './contract.ts';
import { busyboxImage, removeImage } from './images.ts';
import { api, ENGINE_ADDRESS, NO_ENGINE, openRealEngine } from './real-ground.ts';
import { until } from './until.ts';

const USER = { username: 'ann', password: 'se:cret' };

const missing = ['docker-registry', 'htpasswd'].filter((program) => {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
});
const reason =
  missing.length > 0 ? `not installed: ${missing.join(', ')} (docker-registry, apache2-utils)` : NO_ENGINE;

describe('pulling from a registry', { skip: reason ?? false }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'gantryd-registry-'));
  const registries: Registry[] = [];
  const emptyConfig = join(folder, 'none.json');
  let engine: Engine;
  let open: string;
  let closed: string;

  before(async () => {
    writeFileSync(emptyConfig, '{}');
    engine = openRealEngine();
    const passwords = execFileSync('htpasswd', ['-Bbn', USER.username, USER.password]);
    writeFileSync(join(folder, 'htpasswd'), passwords);
    registries.push(
      await startRegistry(folder, undefined),
      await startRegistry(folder, join(folder, 'htpasswd')),
    );
    [open = '', closed = ''] = registries.map(
      (r) => `127.0.0.1:${r.port}/gantryd-test/${randomBytes(4).toString('hex')}`,
    );
    await publish(`${open}:1`);
    await publish(`${closed}:1`);
  });
  after(async () => {
    engine.close();
    for (const registry of registries) await registry.close();
    for (const tag of [`${open}:1`, `${closed}:1`]) await removeImage(ENGINE_ADDRESS, tag);
    rmSync(folder, { recursive: true, force: true });
  });

  test('an open one: by tag, with progress, then by digest, and both name the same image', async () => {
    const told: PullProgress[] = [];
    const image = await engine.pull(`${open}:1`, { authFile: emptyConfig, onProgress: (p) => told.push(p) });
    assert.deepEqual(image.tags, [`${open}:1`]);
    assert.equal(image.digests.length, 1);
    assert.equal(told.at(-1)?.layers, 1);
    assert.equal(told.at(-1)?.done, 1);
    const [digest = ''] = image.digests;
    await removeImage(ENGINE_ADDRESS, `${open}:1`);
    assert.equal(await engine.image(`${open}:1`), undefined);
    const again = await engine.pull(digest, { authFile: emptyConfig });
    assert.equal(again.id, image.id);
    await api.send('DELETE', `/images/${image.id}?force=1`);
  });

  test('a tag or a repository that it lacks is image-not-found', async () => {
    await fails(engine.pull(`${open}:2`, { authFile: emptyConfig }), 'image-not-found');
    await fails(engine.pull(`${open}-other:1`, { authFile: emptyConfig }), 'image-not-found');
  });

  test('one with a password: refused without and with a wrong one, pulled with the right one', async () => {
    await assert.rejects(engine.pull(`${closed}:1`, { authFile: emptyConfig }), (error) => {
      assert.ok(isGantryError(error, 'pull-refused'), String(error));
      assert.match(error.hint ?? '', /docker login/);
      return true;
    });
    await fails(engine.pull(`${closed}:1`, { authFile: configFor(closed, 'wrong') }), 'pull-refused');
    assert.equal(await engine.image(`${closed}:1`), undefined);
    const image = await engine.pull(`${closed}:1`, { authFile: configFor(closed, USER.password) });
    assert.deepEqual(image.tags, [`${closed}:1`]);
  });

  test('with an auth of its own in place of a config file, which no error repeats', async () => {
    const jobs = openJobEngine(ENGINE_ADDRESS === undefined ? {} : { address: ENGINE_ADDRESS });
    try {
      const ref = `${closed}:1`;
      const { id } = await jobs.pull(ref, { authFile: configFor(closed, USER.password) });
      await jobs.removeImage(id);
      assert.equal(await jobs.pullWith(ref, USER, { authFile: emptyConfig }), id);
      await assert.rejects(jobs.pullWith(ref, { ...USER, password: 'wr0ng' }), (error) => {
        assert.ok(isGantryError(error, 'pull-refused'), String(error));
        assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /wr0ng/);
        return true;
      });
    } finally {
      jobs.close();
    }
  });

  test('one that is gone is pull-refused, with the network’s words', async () => {
    const registry = await startRegistry(folder, undefined);
    await registry.close();
    await assert.rejects(
      engine.pull(`127.0.0.1:${registry.port}/a:1`, { authFile: emptyConfig }),
      (error) => {
        assert.ok(isGantryError(error, 'pull-refused'), String(error));
        assert.match(error.message, /connection refused/);
        assert.equal(error.retryable, true);
        return true;
      },
    );
  });

  function configFor(repository: string, password: string): string {
    const file = join(folder, `${randomBytes(4).toString('hex')}.json`);
    const auth = Buffer.from(`${USER.username}:${password}`).toString('base64');
    writeFileSync(file, JSON.stringify({ auths: { [repository.replace(/\/.*/, '')]: { auth } } }));
    return file;
  }
});

/** Into the registry, and away from the engine. */
async function publish(tag: string): Promise<void> {
  await busyboxImage(ENGINE_ADDRESS, tag);
  const auth = Buffer.from(JSON.stringify(USER)).toString('base64url');
  const [name, version] = [tag.slice(0, tag.lastIndexOf(':')), tag.slice(tag.lastIndexOf(':') + 1)];
  const answer = await api.send('POST', `/images/${name}/push?tag=${version}`, undefined, {
    'x-registry-auth': auth,
  });
  assert.ok(answer.status === 200 && !answer.text.includes('"error"'), answer.text);
  await removeImage(ENGINE_ADDRESS, tag);
}

interface Registry {
  readonly port: number;
  close(): Promise<void>;
}

async function startRegistry(folder: string, passwords: string | undefined): Promise<Registry> {
  const port = await freePort();
  const file = join(folder, `${port}.yml`);
  const auth = passwords === undefined ? '' : `auth: {htpasswd: {realm: test, path: ${passwords}}}\n`;
  const storage = `storage: {filesystem: {rootdirectory: ${join(folder, String(port))}}}\n`;
  writeFileSync(
    file,
    `version: 0.1\nlog: {level: error}\n${storage}http: {addr: 127.0.0.1:${port}}\n${auth}`,
  );
  const child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' });
  await until('the registry answers', () => answers(port));
  return { port, close: () => end(child) };
}

async function answers(port: number): Promise<boolean> {
  try {
    const { status } = await fetch(`http://127.0.0.1:${port}/v2/`, { signal: AbortSignal.timeout(1000) });
    return status === 200 || status === 401;
  } catch {
    return false;
  }
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
