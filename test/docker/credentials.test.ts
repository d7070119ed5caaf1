import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { credentialsFor } from '../../src/docker/credentials.ts';
import { HUB } from '../../src/docker/reference.ts';
import { isGantryError } from '../../src/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'gantryd-credentials-'));
const file = join(folder, 'config.json');
const before = { PATH: process.env.PATH, DOCKER_CONFIG: process.env.DOCKER_CONFIG };
process.env.PATH = `${folder}${delimiter}${before.PATH}`;

beforeEach(() => {
  process.env.DOCKER_CONFIG = folder;
  rmSync(file, { force: true });
});
after(() => {
  process.env.PATH = before.PATH;
  if (before.DOCKER_CONFIG === undefined) delete process.env.DOCKER_CONFIG;
  else process.env.DOCKER_CONFIG = before.DOCKER_CONFIG;
  rmSync(folder, { recursive: true });
});

function config(value: unknown): void {
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value));
}

function helper(name: string, script: string): void {
  const path = join(folder, `docker-credential-${name}`);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

async function refused(call: Promise<unknown>, words: RegExp): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(isGantryError(error, 'pull-refused'), String(error));
    assert.match(error.message, words);
    assert.ok(error.hint);
    return true;
  });
}

test('no file: none; a file that was asked for must be there', async () => {
  assert.equal(await credentialsFor('r.test'), undefined);
  await refused(credentialsFor('r.test', join(folder, 'mine.json')), /mine\.json cannot be read/);
});

test('auths: by the name of the registry, also as URL; a password may hold colons', async () => {
  config({
    auths: {
      'https://r.test/v2/': { auth: base64('ann:a:b') },
      'other.test:5000': { identitytoken: 'tok' },
      'empty.test': {},
    },
  });
  assert.deepEqual(await credentialsFor('r.test'), {
    username: 'ann',
    password: 'a:b',
    serveraddress: 'r.test',
  });
  assert.deepEqual(await credentialsFor('other.test:5000'), {
    identitytoken: 'tok',
    serveraddress: 'other.test:5000',
  });
  assert.equal(await credentialsFor('other.test'), undefined);
  assert.equal(await credentialsFor('empty.test'), undefined);
});

test('auths: the hub has one key and several names', async () => {
  config({ auths: { [HUB]: { auth: base64('bob:x') } } });
  assert.equal((await credentialsFor(HUB))?.username, 'bob');
  config({ auths: { 'docker.io': { auth: base64('eve:x') } } });
  assert.equal((await credentialsFor(HUB))?.username, 'eve');
});

test('auths: another file than the own one', async () => {
  config({ auths: { 'r.test': { auth: base64('own:x') } } });
  const mine = join(folder, 'mine.json');
  writeFileSync(mine, JSON.stringify({ auths: { 'r.test': { auth: base64('mine:x') } } }));
  assert.equal((await credentialsFor('r.test', mine))?.username, 'mine');
});

test('a file that makes no sense is told by name, without its contents', async () => {
  config('{"auths": {"r.test": {"auth": "c2VjcmV0"');
  await refused(credentialsFor('r.test'), /^((?!c2VjcmV0).)*config\.json is not a JSON object\.$/);
  config({ auths: { 'r.test': { auth: base64('nocolon') } } });
  await refused(credentialsFor('r.test'), /no usable credentials for r\.test/);
});

test('a credential helper is asked for the registry: the one of its own, else the common store', async () => {
  helper('one', `read server; echo "{\\"Username\\":\\"one\\",\\"Secret\\":\\"for $server\\"}"`);
  helper('all', `echo '{"Username":"<token>","Secret":"tok"}'`);
  config({ credHelpers: { 'r.test': 'one' }, credsStore: 'all' });
  assert.deepEqual(await credentialsFor('r.test'), {
    username: 'one',
    password: 'for r.test',
    serveraddress: 'r.test',
  });
  assert.deepEqual(await credentialsFor('x.test'), { identitytoken: 'tok', serveraddress: 'x.test' });
});

test('a helper that has none means to pull without; one that fails is told', async () => {
  helper('none', 'echo "credentials not found in native keychain"; exit 1');
  config({ credsStore: 'none' });
  assert.equal(await credentialsFor('r.test'), undefined);
  helper('bad', 'echo "keychain is locked"; exit 1');
  config({ credsStore: 'bad' });
  await refused(credentialsFor('r.test'), /docker-credential-bad failed for r\.test: keychain is locked/);
  helper('odd', 'echo hello');
  config({ credsStore: 'odd' });
  await refused(credentialsFor('r.test'), /answered something else/);
  config({ credsStore: 'missing' });
  await refused(credentialsFor('r.test'), /docker-credential-missing cannot be run/);
  config({ credsStore: '../evil' });
  await refused(credentialsFor('r.test'), /names '\.\.\/evil'/);
});
