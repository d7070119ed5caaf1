/** `secret` on one box: what is set is listed without being shown, and what cannot be is refused in plain words. */
import assert from 'node:assert/strict';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Cleanup, tempFolder } from '../../ground/harness.ts';
import { type Cli, cli } from '../../ground/processes.ts';
import { type Case, fails, lastJson } from '../cases.ts';

const WRONG: readonly Omit<Case, 'code'>[] = [
  { args: ['secret'], says: ['Say what to do'] },
  { args: ['secret', 'set'], says: ['`gantry secret set db-password`'] },
  { args: ['secret', 'set', '../db'], says: ['"../db" cannot be the name of a secret'] },
  { args: ['secret', 'set', 'db'], says: ['The value of the secret db is empty', '--file'] },
  { args: ['secret', 'set', 'db', '--file', '/nowhere/x'], says: ['--file /nowhere/x cannot be read'] },
  { args: ['secret', 'set', 'db', '--file', '/dev'], says: ['--file /dev cannot be read'] },
  { args: ['secret', 'set', 'db', '--file', '/dev/zero'], says: ['larger than 524288 bytes'] },
  { args: ['secret', 'rm', 'db'], says: ['There is no secret db', 'No secret is set'] },
  { command: 'gantryd', args: ['secret', 'set', 'db'], says: ['`gantryd secret set shop db-password`'] },
  {
    command: 'gantryd',
    args: ['secret', 'set', 'a/b', 'db'],
    says: ['"a/b" cannot be the name of a project'],
  },
];

describe('secret', () => {
  const endings: (() => Promise<void> | void)[] = [];
  const cleanup: Cleanup = { after: (end) => endings.unshift(end) };
  let stateDir: string;
  let box: Cli;
  before(async () => {
    stateDir = join(await tempFolder(cleanup), 's');
    box = cli(cleanup, stateDir);
  });
  after(async () => {
    for (const end of endings) await end();
  });

  for (const wrong of WRONG) {
    test(`${wrong.command ?? 'gantry'} ${wrong.args.join(' ')} is refused`, () =>
      fails(box, { ...wrong, code: 2 }));
  }

  test('set, list and rm on one box never show or keep a value in the clear', async () => {
    const file = join(stateDir, '..', 'value');
    await writeFile(file, 'correct horse');
    const words: string[] = [];
    const must = async (args: readonly string[], input = '') => {
      const { code, stdout, stderr } = await box.gantry(['secret', ...args], { input });
      assert.equal(code, 0, stderr);
      words.push(stdout, stderr);
      return stdout;
    };
    assert.equal(await must(['set', 'db'], 'hunter2\n'), 'Secret db is set (8 bytes)\n');
    assert.deepEqual(lastJson(await must(['set', 'token', '--file', file, '--json'])), {
      secret: 'token',
      bytes: 13,
      warnings: [],
    });
    const { secrets } = lastJson(await must(['list', '--json'])) as { secrets: Record<string, unknown>[] };
    assert.deepEqual(
      secrets.map(({ name, bytes }) => [name, bytes]),
      [
        ['db', 8],
        ['token', 13],
      ],
    );
    assert.match(await must(['list']), /^NAME +BYTES +SET +BY\ndb +8 +20\d\d-.*Z +\S+@\S+\ntoken +13 /);
    const names = await readdir(stateDir, { recursive: true, withFileTypes: true });
    for (const entry of names.filter((name) => name.isFile())) {
      words.push(await readFile(join(entry.parentPath, entry.name), 'latin1'));
    }
    assert.ok(words.every((text) => !/hunter2|correct horse/.test(text)));
    await must(['rm', 'db']);
    await must(['rm', 'token']);
    assert.equal(await must(['list']), 'No secret is set\n');
  });

  test('keygen makes a key that only its owner can read, and no second one in its place', async () => {
    const key = join(stateDir, '..', 'fleet.key');
    const made = await box.gantryd(['secret', 'keygen', key, '--json']);
    const { file, publicKey } = lastJson(made.stdout);
    assert.deepEqual([made.code, file], [0, key]);
    assert.match(String(publicKey), /^[A-Za-z0-9_-]{43}$/);
    assert.doesNotMatch(made.stdout, /PRIVATE/);
    await fails(box, {
      command: 'gantryd',
      args: ['secret', 'keygen', key],
      code: 1,
      says: ['is not overwritten'],
    });
  });

  test('a key of the box that others can read is refused', async () => {
    await chmod(join(stateDir, 'secrets.key'), 0o644);
    const set = await box.gantry(['secret', 'set', 'db'], { input: 'x' });
    assert.equal(set.code, 1);
    assert.match(set.stderr, /can be read or written by others \(mode 0644\)\n {2}Run: chmod 600 /);
  });
});
